"""What people say around a command: control words, slips, forms of address, what leads up to it.

Works on cleaned text, before the parse; what is cut off is kept with the reason.
"""
from __future__ import annotations

import re
from dataclasses import dataclass, field, replace

from ris_ros.language import lexicon as lex
from ris_ros.types import Ignored

_I = re.IGNORECASE
_NAMES = r'(?:robot|assistant|robby|buddy|friend|sir|jarvis|pal|mate|computer|dude|man|bot)'
_GREETING = r'(?:hey|hi|hello|ok|okay|yo|excuse me|listen|alright|all right|oh|well|so|no|please)'
_STOP = re.compile(
    rf'(?:(?:{_GREETING}|robot)[ ,!.]+)*(?P<said>stop|halt|freeze|abort|cancel|wait|hold on'
    r'|stand still|hold still|quit|never ?mind|nevermind|forget (?:it|that|about (?:it|that))'
    r"|don't(?: (?:do (?:it|that)|move))?|do not (?:do (?:it|that)|move))"
    r'(?P<rest>(?:[ ,!.]+(?:it|that|this|now|right now|right there|please|robot|moving|everything'
    r'|the robot|immediately|at once|what you are doing|the (?:command|task|request|order)'
    r'|a (?:moment|minute|second)|my (?:last )?(?:command|request)|stop|halt|cancel|abort|then'
    r'|there|here|everyone|working|all|all that|mind'
    r'))*)[ .!,?]*$', _I)
_CANCEL = re.compile(r'cancel|never|forget|abort', _I)
# "stop grabbing the mug": an end to what is done, not a command about the mug.
_STOP_DOING = re.compile(rf'(?:(?:{_GREETING}|robot)[ ,!.]+)*(?:stop|quit|cancel) \w+ing\b.*$', _I)
_FILLER = re.compile(r'(?:^|(?<=[\s,]))(?:u+mm*|u+h+m*|e+rm*|h+mm+|ah+|mm+)\b[ ,.]*', _I)
_TWICE = re.compile(r"(?<![\w'])((?:[a-z']+ ){0,3}[a-z']+)[,.]{0,3} (?:\1[,.]{0,3} )*\1(?![\w'])",
                    _I)
# "the red mug, no, the blue one": what came before is taken back.
_CORRECTED = re.compile(
    r'\b(?P<excluded>(?:the|a|an|my|that|this) (?:(?!\b(?:the|a|an|my) )[^,;.!?])+?)[ ,.-]+'
    r'(?:(?:no|wait|oh|um)[ ,]+)*(?:i mean(?:t)?|no wait|wait no|sorry|or rather|or actually'
    r'|actually|scratch that|no)[ ,]+(?=(?:the|a|an|my|that) )', _I)

_UNMISTAKABLE = '|'.join(sorted(lex.VERBS - lex.AMBIGUOUS_VERBS - {'see', 'have'}))
_AMBIGUOUS = '|'.join(sorted(lex.AMBIGUOUS_VERBS))
_OBJECT_FOLLOWS = (r'(?:the|a|an|this|that|these|those|my|your|his|her|its|our|their|all|both'
                   r'|every|any|some|me|us|him|them|it|up|down|out|over|away|two|three|four|five'
                   r'|something)\b')
_VERB = rf'(?:(?:{_UNMISTAKABLE}|{_AMBIGUOUS}) {_OBJECT_FOLLOWS})'
_ASKS = (r"(?:(?:can|could|would|will|might) (?:you|u|i|we)\b|please\b|i(?:'d| would) like\b"
         r'|do you (?:see|know|have)\b|where(?:\'s| is| are)\b|let\'s\b)')
# What a request begins with; a bare verb counts where nothing else could be meant.
_REQUEST = rf'(?:(?:then|just|also|now|kindly|go and|go|come and) )*(?:{_VERB}|{_ASKS})'
_ADDRESSED = re.compile(
    rf'(?:{_GREETING}[ ,]+)?(?:(?:my|dear) )?(?P<name>{_NAMES}|[a-z]+)[ ,!.:]+'
    rf'(?=(?:{_REQUEST}))', _I)
_GREETED = re.compile(rf'{_GREETING}[ ,]+(?:(?:my|dear) )?{_NAMES}[ ,!.:]+(?=\S)', _I)
# Words at the front that are no name: "please give me", "not the ...".
_NO_NAMES = (lex.DETERMINERS | lex.VERBS | lex.NUMBERS | lex.ORDINALS | lex.COLOURS
             | lex.PLACE_WORDS | lex.COMMON_ADJECTIVES | lex.VERB_ADVERBS | lex.BARE_PRONOUNS
             | lex.words('please can could would will do not never and or but then to so if when '
                         'try kindly also just now okay ok yes no sorry thanks first next might '
                         'may must should help want need go come lets let well again is are was '
                         'where what which who how why with without in on at by for from of off '
                         'quickly slowly carefully gently always only today maybe perhaps '
                         'dont nobody none'))
_BOUND = r'(?:\s*[,.;!?:-]+\s*(?:(?:so|and|then|but|therefore|now) )?| (?:so|and then|and|then) )'
_BODY = (r'(?:turn (?:around|back|left|right|to (?:me|us|your (?:left|right)|the (?:left|right)))'
         r'|look (?:around|here|there|over (?:here|there)|down|up)|come (?:here|over|back|closer)'
         r'|go (?:ahead|over there|there|back|forward|forwards|backwards)|stand up|wake up|wait'
         r'|move (?:forward|forwards|back|backwards|closer)|listen(?: to me)?|watch out|be careful'
         r'|(?:open|close) your (?:hand|gripper|claw|fingers)|(?:extend|stretch out|raise|reach'
         r' out with) your (?:\w+ )?(?:arm|hand)|do me a favou?r|help me(?: out)?'
         r'|take a step (?:back|forward)|drive (?:forward|back)|step (?:back|forward))')
_WITH = (r'(?:use|using|take|with) (?:your|the|one|both) (?:(?:left|right|other|robot) )?'
         r'(?:hands?|arms?|grippers?|fingers|claw|tongs)')
_SAYS = (r"(?:i|we|it|he|she|they|there|you|somebody|someone)(?:'(?:m|re|s|ve|ll)| \w+)\b"
         r"(?<!i want)(?<!i need)(?<!i would)(?<!i'd)(?<!i mean)(?<!you should)(?<!you must)"
         r'(?<!you can)(?<!you could)(?<!you will)')
_LEADS = tuple((re.compile(p, _I), reason, constraint) for p, reason, constraint in (
    (rf'{_BODY}{_BOUND}(?={_REQUEST})', 'a movement that is not about the object', False),
    (rf'{_WITH}(?:{_BOUND}| (?:to|and) )(?=\w)', 'how to do it', False),
    (rf'(?:since|because|as|now that|given that) [^,;.!?]{{2,120}}?(?:{_BOUND}| )'
     rf'(?={_REQUEST})',
     'why it is wanted', False),
    (r"(?:if|when|whenever|unless|once|after|before|until|while)(?! you (?:can|could|please"
     r"|would|do n't|don't|do not|want)\b) [^,;.!?]{2,120}[,;:] *(?:then )?(?=\w)",
     'a condition, which is not checked', True),
    (rf'{_SAYS}[^;.!?]{{0,160}}?{_BOUND}(?={_REQUEST})', 'what leads up to the request', False),
    (rf'(?:my|the|this|that|what a|thank|thanks|good|great|nice)\b[^,;.!?]{{0,120}}[,;.!?]+ *'
     rf'(?={_REQUEST})', 'what leads up to the request', False),
))
_TAIL = re.compile(r'[ ,]+(?P<said>with (?:your|the|one) (?:(?:left|right|other|robot) )?'
                   r'(?:hand|arm|gripper|claw|tongs))(?P<end>[ .!?]*)$', _I)
_STOPS = '"{}" names no object; to end what is under way, cancel it (service ~/cancel).'
_PROHIBITED = re.compile(
    r"(?:please )?(?:never|nobody|no one|do not|don't|dont|do n't"
    r"|you (?:must|should) (?:not|never)"
    r"|you (?:mustn't|shouldn't))(?: ever| please)? (?P<what>\w+(?: up| down| on| to| away)? "
    r"(?P<excluded>[^,;.!?]+?))(?P<bound>\s*[,;.!?]+ *(?:but |and |instead |rather )*| but | and "
    r'(?:instead )?| instead |$)', _I)
_NP = r"(?:the|a|an|my|your|that|this|those|these|any|anything|his|her) (?:\w|[- '])+?"
_NOT_FIRST = re.compile(
    r"(?:(?:no|wait|oh|sorry)[ ,]+)*(?:not|anything but|anything except|everything but) "
    rf"(?P<excluded>{_NP})"
    r"(?P<bound>\s*[,;.:!?-]+ *(?:but |rather |instead )*| but (?:rather )?| instead "
    r"| (?=i(?:'d)? (?:would |really |just )?(?:need|want|meant|mean|like|said)"
    r"|(?<! on )(?<! in )(?<! of )(?<! to )(?<! by )(?<! with )(?<! behind )(?<! under )"
    r"(?<! near )(?<! from )(?<! at )(?<! and )(?:the|a|an|my|that) "
    rf"|{_REQUEST})|[ .!?]*$)", _I)
_NOT_LATER = re.compile(
    r'[ ,;:-]*(?:,|;| and| but| -)?[ ]*(?:\b(?:that|which|who) (?:is|are) |\'s |\bis |\bare )?'
    r"(?:\bnot|(?<=is)n't|(?<=are)n't|\b(?:do not|don't|dont|never) \w+(?: up| on)?"
    r'|\binstead of|\brather than|\bexcept(?: for)?|\bother than'
    r"|\bbut not|\band not)(?: (?:take|touch|grab|pick up|bring|use|move))?"
    r' (?P<excluded>(?:the|a|an|my|your|those|these|any) '
    r'[^,;.!?]+?)(?P<bound>(?= *[,;.!?]| *$| but | and (?:put|place|bring|give|then)\b))', _I)
_NOT_SAID = re.compile(
    r"(?P<lead> ?,? ?(?:\b(?:that|which|who) )?(?:(?:is|are|was|were|does|do|has|have)(?: not|n't)"
    r"|\b(?:isnt|arent|doesnt|hasnt)|(?<=\w)'s not|(?<=\w) not|(?<=\w) never)) "
    r'(?P<excluded>[^,;.!?]+?)(?P<bound>(?= *[,;.!?]| *$| but | and (?:put|place|bring|give|then'
    r'|is|has|that)\b))', _I)
_WITHOUT = re.compile(r' (?:without|with no) (?P<excluded>[^,;.!?]+?)(?= *[,;.!?]| *$'
                      r'| and | on | in | next )', _I)
_NEITHER = re.compile(r'\bneither\b[^,;.!?]+', _I)
_NON = re.compile(r'\bnon[- ](?P<excluded>[a-z]+) (?=\w)', _I)


@dataclass(frozen=True)
class Denied:
    """What is said not to be meant.

    words: as said.  excluded: what it denies, the "not" taken away.  at: where it stood, a
    character offset of the text that is left.  whole: `excluded` is an object of its own ("the
    bowl") and not said of the one before it ("red", "on the left").
    """

    words: str
    excluded: str
    at: int
    whole: bool


@dataclass
class Speech:
    """Text that is left to parse, what was cut off it, and what kind of control it is.

    control: 'stop' or 'cancel' with `problem`, and no text.  problem: also of a sentence that
    says only what not to do.
    """

    text: str
    ignored: list[Ignored] = field(default_factory=list)
    denied: list[Denied] = field(default_factory=list)
    control: str | None = None
    problem: str | None = None

    def drop(self, begin: int, end: int, reason: str, constraint: bool = False) -> None:
        """Cut text off and note why; offsets of what is denied move along."""
        said = self.text[begin:end].strip(' ,;:-.!?')
        if said:
            self.ignored.append(Ignored(said, reason, constraint))
        self._cut(begin, end)

    def deny(self, begin: int, end: int, words: str, excluded: str, whole: bool) -> None:
        """Cut text off and note that it is not meant."""
        self._cut(begin, end)
        self.denied.append(Denied(words.strip(' ,;:-.!?'), excluded.strip(), begin, whole))

    def _cut(self, begin: int, end: int) -> None:
        left, right = self.text[:begin], self.text[end:]
        if left and right and left[-1].isalnum() and right[0].isalnum():
            left += ' '
        shift = len(self.text) - len(left) - len(right)
        self.denied = [replace(d, at=max(begin, d.at - shift)) if d.at > begin else d
                       for d in self.denied]
        self.text = left + right


def listen(text: str) -> Speech:
    """Return what of a cleaned text is the command itself.

    Control words ("stop", "never mind"), words said twice, fillers, names called, clauses in
    front of the request, and what is said not to be meant, are taken apart (ours).
    """
    speech = Speech(text)
    if control := _STOP.match(text) or _STOP_DOING.match(text):
        said = text.strip(' .!,?')
        speech.control = 'cancel' if _CANCEL.search(control[0]) else 'stop'
        speech.problem = _STOPS.format(said)
        return speech
    speech.text = _unquoted(text)
    for pattern, reason in ((_FILLER, 'a filler'), (_TWICE, 'said twice')):
        _drop_slips(speech, pattern, reason)
    for _ in range(4):
        if not _drop_lead(speech):
            break
    if tail := _TAIL.search(speech.text):
        speech.drop(tail.start(), tail.end('said'), 'how to do it')
    speech.text = speech.text.strip()
    _deny(speech)
    speech.text = speech.text.rstrip()
    return speech


def _unquoted(text: str) -> str:
    """Return the text without quotation marks; brackets become commas."""
    text = re.sub(r'["\u00ab\u00bb\u201e]', '', text)
    text = re.sub(r'\s*[(\[{]\s*([^()\[\]{}]*?)\s*[)\]}]\s*(?=[,.;!?]|$)', r', \1', text)
    return re.sub(r'\s*[(\[{]\s*([^()\[\]{}]*?)\s*[)\]}]\s*', r', \1, ', text).strip(' ,')


def _drop_slips(speech: Speech, pattern: re.Pattern[str], reason: str) -> None:
    at = 0
    while found := pattern.search(speech.text, at):
        kept = len(found[1]) if pattern.groups else 0
        if found.start() + kept == found.end():
            break
        begin = found.start()
        speech.drop(begin, found.end() - kept, reason)
        speech.text = speech.text[:begin] + speech.text[begin:].lstrip(' ,')
        at = begin


def _drop_lead(speech: Speech) -> bool:
    """Cut off a form of address or a clause in front of the request; whether there was one."""
    if found := _GREETED.match(speech.text):
        speech.drop(0, found.end(), 'a form of address')
        return True
    found = _ADDRESSED.match(speech.text)
    if found and (re.fullmatch(_NAMES, found['name'], _I)
                  or found['name'].lower() not in _NO_NAMES):
        speech.drop(0, found.end(), 'a form of address')
        return True
    for pattern, reason, constraint in _LEADS:
        found = pattern.match(speech.text)
        if found and found.end() < len(speech.text):
            speech.drop(0, found.end(), reason, constraint)
            return True
    return False


def _deny(speech: Speech) -> None:
    """Take out what is said not to be meant, in front first."""
    if found := _NEITHER.search(speech.text):
        speech.problem = _only_not(found[0])
        return
    for pattern in (_PROHIBITED, _NOT_FIRST):
        found = pattern.match(speech.text)
        if found:
            words = speech.text[:found.start('bound')]
            speech.deny(0, found.end(), words, found['excluded'], whole=True)
            if not speech.text.strip(' .!?,'):
                speech.problem = _only_not(words)
                return
    while found := _CORRECTED.search(speech.text):
        speech.deny(found.start(), found.end(), found[0], found['excluded'], whole=True)
    for pattern, whole in ((_NOT_LATER, True), (_NOT_SAID, False), (_NON, False)):
        while found := pattern.search(speech.text):
            if not speech.text[:found.start()].strip(' ,'):
                break
            speech.deny(found.start(), found.end(), found[0], found['excluded'], whole)
    for found in _WITHOUT.finditer(speech.text):  # it stays in the expression
        speech.denied.append(Denied(found[0].strip(), f'with {found["excluded"]}',
                                    found.start(), whole=False))


def _only_not(words: str) -> str:
    return (f'"{words.strip()}" says only what not to take; say which object is meant, for '
            'example "the red mug".')
