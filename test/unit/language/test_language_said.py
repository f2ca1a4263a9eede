"""Sentences as people say them, of kinds of their own: what each means, and nothing lost."""
import pytest

from ris_ros.language import parse
from ris_ros.language.lexicon import words

# text -> what must hold of the command; what is not named here is not looked at.
SAID = {
    'hey computer could you maybe grab that purple marker for me': dict(
        action='grab', head='marker', attributes=('purple',), name='purple marker'),
    "i'm starving, pass me the sandwich that's next to the kettle": dict(
        action='pass', head='sandwich', relations=[('next_to', 'kettle')]),
    'no wait not the big plate, the small one': dict(
        name='plate', negations=['object'], further=('small',)),
    'the sponge that is not in the sink': dict(
        head='sponge', negations=['relation'], excluded_relations=[('inside', 'sink')]),
    'anything but the glass jar, the tin one please': dict(negations=['object']),
    'take the third spoon from the right': dict(
        action='take', head='spoon', ordinal=(3, 'right'), name='spoon'),
    'the last chair on the left': dict(head='chair', ordinal=(-1, 'left')),
    'grab both screwdrivers': dict(head='screwdrivers', count='both', name='screwdriver'),
    'collect all of the green blocks': dict(
        action='collect', count='all', name='green block'),
    'i need four of the batteries': dict(count=4, name='battery'),
    'every bottle on the shelf': dict(count='all', relations=[('on', 'shelf')]),
    'pick up pick up the stapler': dict(action='pick up', head='stapler'),
    'um the uh yellow folder': dict(head='folder', attributes=('yellow',)),
    'use your left arm to lift the lamp': dict(action='lift', head='lamp'),
    'turn around and hand me the torch': dict(action='hand', head='torch'),
    'since it is raining bring me the umbrella': dict(action='bring', head='umbrella'),
    'do you see the red scooter': dict(action='find', head='scooter'),
    'where did you put my keys': dict(action='find', head='keys'),
    'which of the bottles is farthest from the camera': dict(view='farthest', name='bottle'),
    'the crate nearest to me': dict(head='crate', view='nearest', further=()),
    'the plant closest to the window': dict(head='plant', relations=[('next_to', 'window')],
                                            further=('closest',)),
    'cat on the sofa': dict(head='cat', relations=[('on', 'sofa')]),
    'boy holding a kite': dict(head='boy', further=('holding', 'kite')),
    'woman with a hat and a scarf': dict(head='woman', targets=1),
    'man, right': dict(head='man', position='right'),
    'the handle of the drawer': dict(),
    'the top of the cupboard': dict(head='top'),
    'behind and to the right of the toaster there is a jar, take it': dict(),
    'the jar behind and to the right of the toaster': dict(
        head='jar', relations=[('behind', 'toaster'), ('right', 'toaster')]),
    'a bird sat on by nobody': dict(head='bird'),
    'the suitcase carried by the woman': dict(head='suitcase', relations=[]),
    'park bench': dict(action=None, head='bench', name='park bench'),
    'light switch': dict(action=None, head='switch'),
    'the wagon green': dict(head='wagon', attributes=('green',)),
    'my black sunglasses': dict(head='sunglasses', name='black sunglasses'),
    'put the fork in the corner of the drawer': dict(
        action='put', head='fork', destination=('inside', 'drawer')),
    'place the can (the dented one) on the plate': dict(
        action='place', head='can', destination=('on', 'plate')),
    'move the chair to the left of the desk': dict(
        action='move', head='chair', destination=('left', 'desk')),
    'pick up the pen and the notebook': dict(targets=2, head='pen'),
    'the box between the ball and the vase': dict(
        head='box', relations=[('between', 'ball'), ('between', 'vase')]),
    'the bigger of the two suitcases': dict(name='suitcase', further=('bigger',)),
    'the mug left of the plate that is not blue': dict(
        head='mug', relations=[('left', 'plate')]),
    'hand me the first aid kit': dict(head='kit', name='first aid kit', ordinal=None),
    'the couch behind the table on the right': dict(
        position='right', relations=[('behind', 'table')]),
    'stop right there': dict(action='stop', targets=0),
    'never mind': dict(action='cancel', targets=0),
    'if the cup is empty, take the cup': dict(head='cup', constraints=['if the cup is empty']),
    'do not touch the vase': dict(targets=0, problem='vase'),
    'the two leftmost boxes': dict(count=2, position='left', name='box'),
}


def found(text, key):
    command = parse(text)
    target = command.target
    values = {
        'action': lambda: command.action,
        'targets': lambda: len(command.targets),
        'head': lambda: target.head, 'name': lambda: target.name,
        'attributes': lambda: target.attributes, 'position': lambda: target.position,
        'relations': lambda: [(r.type, r.object) for r in target.relations],
        'negations': lambda: [n.kind for n in target.negations],
        'excluded_relations': lambda: [(r.type, r.object)
                                       for r in target.negations[0].excluded.relations],
        'ordinal': lambda: target.ordinal and (target.ordinal.n, target.ordinal.side),
        'count': lambda: target.count, 'view': lambda: target.view,
        'further': lambda: target.further,
        'destination': lambda: command.destination and (command.destination.type,
                                                        command.destination.object),
        'constraints': lambda: [i.words for i in command.ignored if i.constraint]}
    return values[key]()


@pytest.mark.parametrize('text', SAID)
def test_what_was_said_is_what_was_meant(text):
    wanted = dict(SAID[text])
    problem = wanted.pop('problem', None)
    assert {k: found(text, k) for k in wanted} == wanted
    if problem is not None:
        assert problem in parse(text).problem


CONTENT = words('purple sink shelf window kite hat scarf toaster nobody woman drawer dented plate '
                'desk notebook vase blue table empty kettle raining keys')


@pytest.mark.parametrize('text', SAID)
def test_no_content_word_is_lost(text):
    """Every noun, colour and place of the sentence stands in some field of the command."""
    command = dict(parse(text).to_dict(), text='')
    for word in CONTENT & set(text.lower().replace(',', ' ').split()):
        assert word in str(command).lower(), word
