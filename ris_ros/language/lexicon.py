"""Word tables shared by the rules: written as text, used as sets and patterns.

Patterns are regular expressions over the lower-cased tokens joined by single spaces.
"""
from __future__ import annotations

import re
from collections.abc import Mapping


def words(text: str) -> frozenset[str]:
    """Return the set of the words of `text`, split at white space."""
    return frozenset(text.split())


def _any(text: str) -> str:
    return '(?:' + '|'.join(text.split()) + ')'


# -- wrappers around a command ----------------------------------------------------------
# Tried again and again at the front until none fits.
OPENERS = tuple(re.compile(p + r'(?= |$)') for p in (
    r'(?:please|kindly|just|now|then|next ,|first ,|and|also|again|so|well|um|uh|er|hmm|ah|oh'
    r'|[,.!?;:…-]|")',
    r'(?:hey|hi|hello|ok|okay|alright|all right|yes|yeah|no|sorry|thanks|thank you|excuse me'
    r'|good (?:morning|evening|afternoon)|listen|look ,|dear|quickly|carefully|gently|slowly)',
    r'(?:my |dear )?(?:robot|assistant|robby|buddy|friend|sir|jarvis|pal|mate|computer)'
    r'(?= ,| please| (?:could|can|would|will) you)',
    r'(?:could|can|would|will|might|do) (?:you|u|ya)(?: (?:please|kindly|just|maybe|possibly'
    r'|perhaps|now|quickly|also|then|go|again|by any chance|help me(?: to)?|try to|manage to'
    r'|be able to|be so kind as to|be kind enough to|be willing to|want to|like to))*'
    r'(?! (?:mind|see|spot|have|notice|recogni[sz]e))',
    r'(?:do|would|if) you(?: would)?(?: not)? mind',
    r'(?:are you able|is it possible|would it be possible|is it ok(?:ay)?)(?: for you)? to',
    r"i (?:want|need|would like|'d like|would love|'d love|would prefer|wish|expect|ask)"
    r"(?: for)? you (?:please )?to(?: please)?",
    r'(?:you|we) (?:should|must|can|could|will|have to|need to|ought to|are to)'
    r'(?: please)?(?: now)?',
    r"(?:let 's|let us|lets)",
    r'(?:i was wondering|i wonder) if you (?:could|can|would|might)(?: please)?',
    r'(?:your|the) (?:task|job|goal|mission) is(?: to)?',
    r'(?:i want|i need|i would like|i \'d like|i have|try|help me|make sure|be sure|remember'
    r'|do not forget|want)(?: you)? to(?! the)',
    r'help me', r'go ahead and', r'(?:go|come)(?: over| there| here| back)? and', r'try and',
    r'would you be so kind as to', r'be so kind as to', r'do me a favou?r and',
    r'if you (?:could|can|would)(?: please)?',
))
# Openers in front of a thing that is only named: "it is the mug on the left".
NAMING = re.compile(
    r"(?:(?:i mean|i said|no ,|it is|it 's|this is|that is|that 's|there is|there 's|there are"
    r"|these are|those are|i (?:can )?see|you (?:can )?see|what about|how about|what is"
    r"|what 's|who is) )+")
SEARCHES = re.compile(  # questions and wishes to find something
    r"(?:(?:(?:do you )?know|tell me|show me|find out|can you tell me|say|i wonder|tell us) )?"
    r"(?:where (?:is|are|'s|did you put|can i find|do you see)"
    r'|(?:is|are) there|(?:is|are)(?= (?:the|my|any) )|can you (?:see|spot)'
    r'|do you (?:see|have|spot|notice|recogni[sz]e)'
    r"|could you (?:see|spot)|which (?:one )?of|which (?:is|are)|what (?:is|are)(?= the )"
    r"|which(?= [a-z ]+ (?:is|are) )|have you (?:seen|got)|i (?:am|'m) (?:looking|searching) for"
    r"|i (?:ca n't|can not|cannot) find|i (?:have )?lost|where)(?= |$)")
TRAILERS = re.compile(  # at the end, again and again
    r'(?:^| )(?:please|thanks|thank you(?: very much| so much)?|thx|ok|okay|cheers|now|right now'
    r'|right away|immediately|quickly|carefully|gently|slowly|again|too|as well|instead|first'
    r'|for (?:me|us|him|her|them)|over here|back here|(?<!closest )(?<!closer )(?<!nearest )'
    r'(?<!next )(?<!close )(?<!near )(?:over |back )?to (?:me|us|him|her|them)'
    r'|over there|if you (?:can|could|please|would|want|do n\'t mind|would n\'t mind)'
    r'|if possible|will you|would you|could you|can you|as soon as (?:you can|possible)'
    r'|at once|(?<!the )(?<!your )(?<!a )(?<!this )(?<!that )(?<!my )robot'
    r'|immediately|asap|one by one|with (?:your|both|the|one|two)'
    r'(?: left| right| robot)? (?:hands?|arms?|grippers?|fingers|claw)|my friend|dear|buddy'
    r'|is|are|then|[,.!?;:…"-])$')

# -- verbs ------------------------------------------------------------------------------
PUT_VERBS = words('put place set lay drop insert stack store deposit dump tuck pour stick rest '
                  'position hang arrange return shove slide balance stow load throw toss leave '
                  'install mount attach pile plug fit unload lean prop')
MOVE_VERBS = words('move push drag bring carry transfer take shift transport deliver pull roll '
                   'relocate get fetch pass hand give lower lift raise grab pick send')
GIVE_VERBS = words('give hand bring pass show get fetch find throw toss grab lend offer serve '
                   'send buy make pour deliver tell')
MOTION_VERBS = words('go drive walk navigate come travel head fly roll run move approach return '
                     'proceed step turn crawl stop wait stand park')
OTHER_VERBS = words(
    'pick grasp locate segment choose select remove hold touch open close wash clean identify '
    'detect track mark highlight collect retrieve catch inspect check avoid use rotate shake '
    'squeeze empty cut turn examine outline pinpoint scan count release seize obtain acquire '
    'want need watch describe follow clear tidy recognize recognise snatch gather raise flip '
    'tilt tip look point search reach aim focus zoom see like have borrow wipe scoop shut '
    'switch press break fold unfold clip grip spot peel swap exchange steer navigate keep '
    'eat drink read kick hit knock dust fill hide seek prefer love approach observe spin stir '
    'scrub dry sort align separate unplug undo tie wear discard isolate extract mask crop box '
    'annotate label delineate circle consider indicate ignore refer capture photograph visit '
    'clutch nudge poke tap swing bend twist pinch put')
VERBS = PUT_VERBS | MOVE_VERBS | GIVE_VERBS | MOTION_VERBS | OTHER_VERBS
# Known verbs that are just as often nouns or adjectives: the neighbour decides.
AMBIGUOUS_VERBS = words(
    'hand place set point watch drop lift cut turn switch look open close clean empty box mask '
    'clip circle label dry fan stick stack rest clear tidy hold use step park stand roll run '
    'drive fly head can mark track check wash catch store pile mount fit dust cut kick hit spin '
    'return pass show load focus aim zoom search touch count plug tip tap bend drink wipe press '
    'crop lower light slide pull push fill break shut need want like love book iron hammer drill '
    'paper water plant walk travel reach swing read lay tie make play spot peel poke float fold')
# Of these, words that in front of a bare noun make a compound with it.
NOUN_LIKE = words('stop hand water paper park light head watch iron book plant mark store dust '
                  'wash swing hammer drill track search touch table')
PARTICLES: Mapping[str, frozenset[str]] = {
    'pick': words('up out'), 'put': words('down away back aside'), 'set': words('down aside'),
    'lift': words('up'), 'turn': words('on off over around up down'), 'switch': words('on off'),
    'throw': words('away out'), 'take': words('away out off down back apart'),
    'hand': words('over out back'), 'give': words('back away'), 'bring': words('back over'),
    'hold': words('up down'), 'point': words('out'), 'push': words('away over down'),
    'pull': words('out up off away'), 'clean': words('up off'), 'tidy': words('up away'),
    'fill': words('up'), 'tip': words('over'), 'knock': words('over down off'),
    'drop': words('off'), 'lay': words('down'), 'move': words('away over aside back'),
    'roll': words('over away'), 'pass': words('over'), 'hang': words('up'),
    'wipe': words('off down'), 'get': words('back out'), 'flip': words('over'),
    'cut': words('up off out'),
    'close': words('up'), 'open': words('up'), 'pack': words('up'), 'stack': words('up'),
    'scoop': words('up'), 'single': words('out'), 'seek': words('out'), 'grab': words('up'),
    'raise': words('up'), 'carry': words('over away'), 'shut': words('off down'),
    'check': words('out'), 'snatch': words('up away'), 'gather': words('up'),
    'send': words('back over'),
    'collect': words('up'), 'kick': words('over away'), 'stand': words('up'), 'plug': words('in'),
    'find': words('out'), 'call': words('up'), 'fetch': words('back'), 'mark': words('out'),
}
VERB_ADVERBS = words('over back straight up down out carefully gently slowly quickly directly '
                     'closely please just now again closer forward ahead across around along')
VERB_PREPOSITIONS = words('at to for towards toward near on onto into behind beside by around '
                          'between under inside past after with over next in')
RECEIVERS = words('me us him her them')

# -- nouns and their neighbours ---------------------------------------------------------
DETERMINERS = words('the a an this that these those my your his her its our their some any all '
                    'both every each another either neither no one which whose whatever')
NUMBERS = words('two three four five six seven eight nine ten several many few couple')
BARE_PRONOUNS = words('it them him her me us this that these those something anything everything '
                      'someone anyone everyone he she they we you i there here what which who '
                      'itself himself nothing myself yourself mine yours so')
ORDINALS = words('first second third fourth fifth sixth seventh last next other same only own '
                 'very main single actual')
# Words of order that are part of a name: "the first aid kit", "a second hand watch".
NAMED_ORDERS = frozenset({('first', 'aid'), ('first', 'class'), ('second', 'hand'),
                          ('third', 'party'), ('last', 'name')})
COLOURS = words('red green blue yellow orange purple pink black white brown gray grey beige cyan '
                'magenta turquoise violet teal navy maroon gold silver olive crimson golden tan '
                'khaki lime indigo colorful')
# Colours that are things as well: "the orange".
COLOURED_THINGS = words('orange lime olive')
CLOTHES = words('shirt jacket coat hat dress suit shorts jeans pants trousers skirt sweater '
                'hoodie vest uniform cap glasses sunglasses tie scarf boots shoes helmet top '
                't-shirt tshirt blouse outfit clothes clothing jersey costume gloves sandals')
COMMON_ADJECTIVES = words('small big large tiny little huge tall short long wide round square '
                          'flat empty full new old clean dirty open closed other wooden plastic')
IMAGE_NOUNS = words('image picture photo photograph frame scene view screen shot')
# Things that fill the view: "the middle of the table" is a place, "left of the table" is not.
# Objects of "in" that say no relation between things: "the last car in the row".
NO_THINGS = IMAGE_NOUNS | words('row line group middle center centre corner background foreground '
                                'front back distance half air left right top bottom shape '
                                'position way size colour color number order pair')
GROUNDS = words('row line group table tabletop desk shelf room pile stack')

# -- places -----------------------------------------------------------------------------
VERTICAL: Mapping[str, str] = {
    'top': 'top', 'upper': 'top', 'topmost': 'top', 'uppermost': 'top', 'highest': 'top',
    'bottom': 'bottom', 'lower': 'bottom', 'bottommost': 'bottom', 'lowest': 'bottom',
    'lowermost': 'bottom'}
HORIZONTAL: Mapping[str, str] = {
    'left': 'left', 'leftmost': 'left', 'lefthand': 'left', 'right': 'right',
    'rightmost': 'right', 'righthand': 'right', 'leftward': 'left', 'rightward': 'right'}
CENTRAL = words('middle center centre central middlemost centermost')
PLACE_WORDS = frozenset(VERTICAL) | frozenset(HORIZONTAL) | CENTRAL
# Places in the image that are not positions of the contract.
OTHER_PLACES = words('corner front back background foreground rear distance side edge end far '
                     'near frontmost backmost')

_GAP = r'(?:just |slightly |directly |right |immediately |a bit |a little |somewhat |exactly )?'
_IN_FRONT = r'(?:on|to|at|in|from|by|towards?)'


def _side(word: str) -> str:
    """"to the left of", "on the left hand side of", "left of"."""
    core = rf'(?:immediate |far |direct |very )?{word}(?: ?- ?| )?(?:hand )?(?:side )?(?:of|from)'
    return rf'(?:{_GAP}(?:(?:over )?{_IN_FRONT} (?:the |its )?)?{core}|{word} to(?= the | a ))'


# Relation type -> what says it, in front of an object; longer patterns win.
RELATIONS = tuple((kind, re.compile(pattern + '(?= )')) for kind, pattern in (
    ('left', _side('left')),
    ('right', _side('right')),
    ('above', _GAP + r'(?:above|over|higher than|up above)'),
    ('below', _GAP + r'(?:below|under|underneath|beneath|lower than|down under'
              r'|(?:on|at) the underside of)'),
    ('front', _GAP + r'(?:(?:in|at|to|on|into) (?:the )?front of|ahead of)'),
    ('behind', _GAP + r'(?:behind|(?:in|at|to|on) (?:the )?(?:back|rear) of|beyond)'),
    ('inside', _GAP + r'(?:inside(?: of)?|within|into|in|contained (?:in|by)'
               r'|(?:in|on|at) the inside of)'),
    ('on', _GAP + r'(?:(?:on|onto)(?: the)? top of|on|onto|upon|on to|atop(?: of)?'
           r'|(?:over )?on(?: the)? top of)'),
    ('next_to', _GAP + r'(?:next to|beside|besides|near(?: to)?|nearby|close(?:st|r)?(?: to| by)'
                r'|nearest(?: to)?|adjacent to|alongside(?: of)?|by|against|touching'
                r'|(?:at|on|to|by) (?:the |one |either )?side of|around|in the vicinity of'
                r'|neighbou?ring|bordering|in contact with)'),
    ('between', _GAP + r'(?:in between|between|in the middle of the two)'),
    ('bigger', r'(?:much |slightly |a bit )?(?:bigger|larger|taller|longer|wider|thicker|higher'
               r'|greater|fatter) than'),
    ('smaller', r'(?:much |slightly |a bit )?(?:smaller|shorter|tinier|thinner|littler|narrower'
                r'|less tall) than'),
))
_V = '(?:' + '|'.join(VERTICAL) + ')'
_H = '(?:' + '|'.join(HORIZONTAL) + ')'
_C = '(?:' + '|'.join(sorted(CENTRAL)) + ')'
_PLACE = (rf'(?:{_V}(?: ?- ?| )(?:{_H}|{_C})|(?:{_C})(?: ?- ?| ){_H}'
          rf'|{_H}(?: ?- ?| )(?:{_V}|{_C})|{_V}|{_H}|{_C})')
# A place in the image: "on the far left", "in the top right corner of the picture".
ABSOLUTE = re.compile(
    rf'{_GAP}(?:all the way |over |furthest |farthest |closest |nearest |most )*'
    rf'{_IN_FRONT} (?:the |your |my |its )?(?:far |extreme |very |most |exact |dead |absolute )?'
    rf'(?P<place>{_PLACE})'
    r'(?: ?- ?| )?(?:most)?(?: hand)?(?P<part> (?:side|corner|part|half|edge|end|area|section'
    r'|region|portion|third))?'
    r'(?P<scene> of (?:the |this |my )?(?:whole |entire )?(?:' + _any(' '.join(IMAGE_NOUNS))
    + r'|(?P<ground>' + _any(' '.join(GROUNDS)) + r')))?(?= |$)(?! of)')
ELSEWHERE = re.compile(
    rf'{_GAP}(?:on|at|in|from|by) (?:the |a )?(?:far |very |other )?'
    r'(?:corner|front|back|background|foreground|rear|distance|side|edge|end|other side)'
    r'(?: of (?:the |this )?' + _any(' '.join(IMAGE_NOUNS)) + r')?(?= |$)(?! of)')
# Words between a noun and the place it has: "the ball that is lying on the floor".
LINKS = words("that which who is are 's was were be being located standing sitting lying laying "
              'placed positioned situated found resting parked seated kept hanging leaning '
              'stacked currently right just directly immediately stands sits lies rests lays '
              'hangs put left set sat you see i can have has here there somewhere closely '
              'partially mostly floating stored hidden perched propped mounted attached over '
              'up down far away back out living visible shown appearing')
GOAL_WORDS = re.compile(r'(?:(?:over |back |down |up |straight )*(?:to|into|onto|towards?|on to)'
                        r'|(?:over |back |down |up )?(?:on|onto)(?: the)? top of)(?= )')
SURFACES = words('table desk shelf counter floor plate tray mat rug bench stove countertop stand '
                 'board coaster pad ground cloth napkin towel platter saucer rack sofa couch bed '
                 'chair stool tabletop carpet ledge worktop')
CONTAINERS = words('box bowl basket bin drawer bag bucket cup mug pot pan jar crate container '
                   'cabinet cupboard sink fridge oven microwave case carton can bottle vase trash '
                   'tin glass')
# Function words of other languages that English does not have.
FOREIGN = words(
    'le les un une des du dans sur avec pour est et la el los las del por con para una unos de '
    'der das den dem ein eine einen und mit bitte nimm auf von zu rote il lo gli della di che per '
    'het een op van naar maar dat o os um uma no na pegue você por favor sur sous gib mir mich '
    'prends prenez donne moi dame coge toma agarra rojo roja rouge bleu blau azul verde grün '
    'derecha izquierda gauche droite links rechts taza tasse becher')
ENGLISH = words(
    'the of and to in on at with up by from me my your you it is are that this a an can could '
    'would please left right top bottom middle box red green blue black white yellow man woman')
PEOPLE = words('man woman boy girl child kid person lady guy waiter customer doctor nurse patient '
               'user operator friend people visitor guest mother father dad mom teacher')
# Verbs that take their object somewhere: a plain "to" names the goal.
DISPLACING_VERBS = words('move push drag bring carry transfer take shift transport deliver pull '
                         'roll relocate send slide shove return pass throw toss lift raise')
SUPERLATIVES = words('biggest largest smallest tallest shortest longest widest darkest lightest '
                     'closest nearest furthest farthest highest lowest thinnest tiniest oldest '
                     'youngest brightest cleanest heaviest leftmost rightmost bigger smaller '
                     'larger taller shorter longer')
# "one of the mugs", "the smallest of the boxes": the noun stands behind "of".
PARTITIVES = SUPERLATIVES | words('one all both each any some none most half either neither '
                                  'rest first second third last many several few')
# What cannot be the noun of a phrase that the tagger found none in.
NO_HEADS = (DETERMINERS | PLACE_WORDS | COLOURS | ORDINALS | NUMBERS | COMMON_ADJECTIVES
            | OTHER_PLACES | SUPERLATIVES)
# Verbs with a preposition of their own; ambiguous words before any other preposition are nouns.
PREPOSITIONAL_VERBS: Mapping[str, frozenset[str]] = {
    'look': words('at for in under behind inside on over around toward towards'),
    'point': words('at to toward towards'), 'search': words('for'), 'reach': words('for to'),
    'aim': words('at for'), 'focus': words('on'), 'zoom': words('in on to'),
    'turn': words('to toward towards around'), 'travel': words('to toward towards'),
    'drive': words('to toward towards behind around into'),
    'walk': words('to toward towards over'),
    'run': words('to toward towards over'), 'fly': words('to toward towards over'),
    'roll': words('to toward towards'), 'head': words('to toward towards for over'),
    'step': words('to toward towards over'), 'park': words('next beside near at behind in by'),
    'stand': words('next beside near at behind in by'), 'return': words('to'),
    'wait': words('by at near for beside next'), 'watch': words('for'), 'check': words('on out'),
}
# Of these, verbs whose object just changes its place: "move the mug to the left of the box"
# says where to, "take the mug to the left of the box" which mug.
SHIFTING_VERBS = words('move push drag shift transfer relocate roll pull slide shove')
# What ends the object of these verbs: "fill the glass with water".
VERB_COMPLEMENTS: Mapping[str, frozenset[str]] = dict.fromkeys(
    words('fill wipe clean wash cut cover feed hit rub scrub dry paint spray stir scoop touch '
          'poke push press'), words('with using'))
