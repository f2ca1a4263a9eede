"""Generate commands and referring expressions with their true tags, lemmas and trees.

Every rule builds a small tree; a sentence is its tokens from left to right.  Labels are
those of `language_treebank`.  Some nouns and verbs are made-up words, so that a tagger
learns to trust the frame ("pick up the green ...") and not only the words it has seen.
"""
from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from random import Random

from ris_ros.training.language import vocabulary as v
from ris_ros.training.language.treebank import Node


@dataclass
class Tree:
    """A token with what hangs on it: `left` before it, `right` after it, both in order."""

    word: str
    pos: str
    tag: str
    label: str = 'ROOT'
    lemma: str = ''
    left: list[Tree] = field(default_factory=list)
    right: list[Tree] = field(default_factory=list)

    def labelled(self, label: str) -> Tree:
        """Set the label and return the tree itself."""
        self.label = label
        return self


def det(word: str) -> Tree:
    """An article or demonstrative."""
    return Tree(word, 'DET', 'DT', 'det')


def adj(word: str, tag: str = 'JJ', label: str = 'amod') -> Tree:
    """An adjective."""
    return Tree(word, 'ADJ', tag, label)


def adv(word: str, label: str = 'advmod', tag: str = 'RB') -> Tree:
    """An adverb."""
    return Tree(word, 'ADV', tag, label)


def noun(word: str, label: str = 'pobj', tag: str = 'NN') -> Tree:
    """A common noun in the singular."""
    return Tree(word, 'NOUN', tag, label)


def pronoun(word: str, label: str) -> Tree:
    """A personal pronoun."""
    return Tree(word, 'PRON', 'PRP', label)


def prep(word: str, *objects: Tree) -> Tree:
    """A preposition with its objects."""
    return Tree(word, 'ADP', 'IN', 'prep', right=list(objects))


def verb(word: str, tag: str = 'VB', label: str = 'ROOT', lemma: str = '') -> Tree:
    """A verb."""
    return Tree(word, 'VERB', tag, label, lemma)


def punct(word: str) -> Tree:
    """A punctuation mark."""
    return Tree(word, 'PUNCT', ',' if word == ',' else '.', 'punct')


def plural(word: str) -> str:
    """Return the plural of an English noun."""
    if word in v.IRREGULAR_PLURALS:
        return v.IRREGULAR_PLURALS[word]
    if word.endswith(('s', 'x', 'ch', 'sh', 'z')):
        return word + 'es'
    if word.endswith('y') and word[-2] not in 'aeiou':
        return word[:-1] + 'ies'
    return word + 's'


def gerund(word: str) -> str:
    """Return the -ing form of an English verb."""
    if word in v.IRREGULAR_GERUNDS:
        return v.IRREGULAR_GERUNDS[word]
    return (word[:-1] if word.endswith('e') else word) + 'ing'


class Grammar:
    """Random sentences from a seed; `sentences(n)` gives lists of treebank nodes."""

    def __init__(self, seed: int) -> None:
        self.random = Random(seed)

    def sentences(self, count: int) -> Iterator[list[Node]]:
        """Yield `count` sentences."""
        for _ in range(count):
            yield self._written(self._sentence())

    # -- words -------------------------------------------------------------------------
    def chance(self, p: float) -> bool:
        """Return True with probability p."""
        return self.random.random() < p

    def made_up(self) -> str:
        """Return a word that nobody knows, of one to three syllables."""
        pick = self.random.choice
        syllables = [pick(v.ONSETS) + pick(v.VOWELS) for _ in range(self.random.randint(1, 3))]
        return ''.join(syllables) + pick(v.CODAS)

    def thing(self) -> str:
        """Return a noun, now and then a made-up one."""
        return self.made_up() if self.chance(0.08) else self.random.choice(v.NOUNS)

    # -- noun phrases ------------------------------------------------------------------
    def noun_phrase(self, label: str, depth: int = 0, bare: float = 0.15) -> Tree:
        """A noun phrase; `depth` limits how many modifiers nest behind the noun."""
        if self.chance(0.04):
            return self._one(label)
        many = self.chance(0.15)
        word = self.thing()
        head = (Tree(plural(word), 'NOUN', 'NNS', label, word) if many else noun(word, label))
        counted = many and self.chance(0.4)
        if not self.chance(bare):
            head.left.append(self._determiner(many))
        if counted:
            head.left.append(Tree(self.random.choice(v.NUMBERS), 'NUM', 'CD', 'nummod'))
        head.left += self._adjectives()
        if self.chance(0.12):
            head.left.append(noun(self.thing(), 'compound'))
        if self.chance((0.55, 0.25, 0.1, 0.0)[min(depth, 3)]):
            head.right.append(self._modifier(depth + 1))
            if depth == 0 and self.chance(0.12):
                head.right.append(self._modifier(depth + 2))
        return head

    def _one(self, label: str) -> Tree:
        head = noun('one', label)
        head.left.append(det(self.random.choice(['the', 'the', 'that', 'this'])))
        if self.chance(0.6):
            head.left += self._adjectives()
        if self.chance(0.5):
            head.right.append(self._modifier(1))
        return head

    def _determiner(self, many: bool) -> Tree:
        kind = self.random.random()
        if kind < 0.72:
            return det('the')
        if kind < 0.80:
            return det(self.random.choice(['some', 'all', 'these', 'those', 'both'] if many
                                          else ['a', 'a', 'a', 'an', 'another']))
        if kind < 0.87:
            return det(self.random.choice(['the', 'any'] if many else ['this', 'that', 'every']))
        if kind < 0.95:
            return Tree(self.random.choice(v.OWNERS), 'PRON', 'PRP$',
                        'poss')
        owner = noun(self.random.choice(v.RECEIVERS), 'poss')
        owner.left.append(det('the'))
        owner.right.append(Tree("'s", 'PART', 'POS', 'case'))
        return owner

    def _adjectives(self) -> list[Tree]:
        count = self.random.choices([0, 1, 2, 3], [0.35, 0.42, 0.18, 0.05])[0]
        found = [self._adjective() for _ in range(count)]
        if self.chance(0.08):
            found.insert(0, adj(self.random.choice(v.ORDINALS)))
        if self.chance(0.06):
            found[:0] = [adj(self.random.choice(['top', 'bottom', 'upper', 'lower', 'middle'])),
                         adj(self.random.choice(['left', 'right']))]
        return found

    def _adjective(self) -> Tree:
        pick = self.random.choice
        kind = self.random.random()
        if kind < 0.30:
            return self._colour()
        if kind < 0.45:
            return adj(pick(v.SIZES))
        if kind < 0.55:
            return adj(pick(v.QUALITIES))
        if kind < 0.62:
            return adj(pick(v.MATERIALS))
        if kind < 0.69:
            return adj(pick(v.COMPARATIVES), 'JJR')
        if kind < 0.76:
            return adj(pick(v.SUPERLATIVES), 'JJS')
        if kind < 0.86:
            return adj(pick(v.PLACES))
        if kind < 0.92:
            return adj(pick(v.EXTREMES))
        if kind < 0.94:
            far = adj(pick(['left', 'right']))
            far.left.append(adv('far'))
            return far
        word, lemma = pick(v.PARTICIPLES)
        participle = verb(word, 'VBN', 'amod', lemma)
        if self.chance(0.5):
            participle.left.append(adv(pick(v.ADVERBS)))
        return participle

    def _colour(self) -> Tree:
        colour = adj(self.random.choice(v.COLOURS))
        if self.chance(0.12):
            colour.left.append(adj(self.random.choice(['light', 'dark', 'bright', 'pale'])))
        return colour

    # -- what follows a noun -----------------------------------------------------------
    def _modifier(self, depth: int) -> Tree:
        rules: list[tuple[float, Callable[[int], Tree]]] = [
            (0.34, self._place), (0.16, self._absolute), (0.10, self._clause),
            (0.16, self._participle_phrase), (0.07, self._with), (0.04, self._of),
            (0.04, self._in_colour), (0.04, self._comparison), (0.03, self._trailing)]
        rule = self.random.choices([r for _, r in rules], [w for w, _ in rules])[0]
        return rule(depth)

    def _place(self, depth: int) -> Tree:
        """A place said by another object: "behind the box", "to the left of the bowl"."""
        kind = self.random.random()
        if kind < 0.40:
            return prep(self.random.choice(v.PREPOSITIONS), self.noun_phrase('pobj', depth))
        if kind < 0.62:
            return self._relational_noun(depth)
        if kind < 0.72:
            side = adv(self.random.choice(['left', 'right', 'left', 'right', 'south', 'ahead']))
            side.right.append(prep('of', self.noun_phrase('pobj', depth)))
            return side
        if kind < 0.88:
            near = self.random.choice([
                adv('next'), adv('next'), adv('next'), adj('close'), adj('closest', 'JJS'),
                adj('nearest', 'JJS'), adj('adjacent'), adv('close')])
            near.right.append(prep('to', self.noun_phrase('pobj', depth)))
            return near
        return self._between(depth)

    def _relational_noun(self, depth: int) -> Tree:
        word, place, article = self.random.choice(v.RELATIONAL_NOUNS)
        head = noun(place)
        if article:
            head.left.append(det('the'))
            if place == 'side':
                head.left.append(adj(self.random.choice(['left', 'right', 'other', 'far'])))
            elif self.chance(0.08):
                head.left.append(adj(self.random.choice(['immediate', 'far', 'very'])))
        head.right.append(prep('of', self.noun_phrase('pobj', depth)))
        return prep(word, head)

    def _between(self, depth: int) -> Tree:
        if self.chance(0.45):
            word = self.thing()
            pair = Tree(plural(word), 'NOUN', 'NNS', 'pobj', word,
                        left=[det('the'), Tree('two', 'NUM', 'CD', 'nummod')])
            pair.left += self._adjectives()[:1]
            return prep('between', pair)
        first = self.noun_phrase('pobj', 3)
        first.right += [Tree('and', 'CCONJ', 'CC', 'cc'), self.noun_phrase('conj', max(2, depth))]
        return prep('between', first)

    def _absolute(self, depth: int) -> Tree:
        """A place in the image: "on the far left"."""
        word, adjectives, place = self.random.choice(v.ABSOLUTE)
        head = noun(place)
        if not (word == 'on' and self.chance(0.3)):
            head.left.append(det('the'))
        head.left += [adj(a) for a in adjectives]
        if place in ('side', 'corner', 'middle', 'top', 'bottom') and self.chance(0.15):
            scene = noun(self.random.choice(['picture', 'image', 'photo', 'scene', 'table']))
            scene.left.append(det('the'))
            head.right.append(prep('of', scene))
        return prep(word, head)

    def _clause(self, depth: int) -> Tree:
        """A relative clause: "that is on the table"."""
        word, tag = self.random.choice([('that', 'WDT'), ('that', 'WDT'), ('which', 'WDT'),
                                        ('who', 'WP')])
        subject = Tree(word, 'PRON', tag, 'nsubj')
        kind = self.random.random()
        if kind < 0.72:
            written, pos_tag = self.random.choice([('is', 'VBZ'), ('is', 'VBZ'), ("'s", 'VBZ'),
                                                   ('are', 'VBP')])
            be = Tree(written, 'AUX', pos_tag, 'relcl', 'be', left=[subject])
            if kind < 0.52:
                be.right.append(self._place(depth) if self.chance(0.75) else self._absolute(depth))
            elif kind < 0.62:
                be.right.append(adj(self.random.choice(v.COLOURS + v.QUALITIES), label='acomp'))
            else:
                inner = self._participle_phrase(depth)
                inner.left[:0] = [subject, be.labelled('aux')]
                be.left = []
                return inner.labelled('relcl')
            return be
        if kind < 0.86:
            has = verb('has', 'VBZ', 'relcl', 'have')
            has.left.append(subject)
            has.right.append(self.noun_phrase('dobj', depth + 1))
            return has
        word, lemma = self.random.choice([('stands', 'stand'), ('sits', 'sit'), ('lies', 'lie'),
                                          ('hangs', 'hang')])
        stands = verb(word, 'VBZ', 'relcl', lemma)
        stands.left.append(subject)
        stands.right.append(self._place(depth))
        return stands

    def _participle_phrase(self, depth: int) -> Tree:
        kind = self.random.random()
        if kind < 0.55:
            word, lemma = self.random.choice(v.POSTURES)
            head = verb(word, 'VBG' if word.endswith('ing') else 'VBN', 'acl', lemma)
            head.right.append(self._place(depth) if self.chance(0.8) else self._absolute(depth))
        elif kind < 0.85:
            word, lemma = self.random.choice(v.ACTIVITIES)
            head = verb(word, 'VBG', 'acl', lemma)
            head.right.append(self.noun_phrase('dobj', depth + 1, bare=0.1))
        elif kind < 0.93:
            head = verb('made', 'VBN', 'acl', 'make')
            head.right.append(prep(self.random.choice(['of', 'of', 'from']),
                                   noun(self.random.choice(v.SUBSTANCES))))
        else:
            head = verb('filled', 'VBN', 'acl', 'fill')
            head.right.append(prep('with', noun(self.random.choice(v.MASS))))
        return head

    def _with(self, depth: int) -> Tree:
        return prep(self.random.choice(['with', 'with', 'without', 'for']),
                    self.noun_phrase('pobj', depth, bare=0.3))

    def _of(self, depth: int) -> Tree:
        return prep('of', noun(self.random.choice(v.MASS)))

    def _in_colour(self, depth: int) -> Tree:
        return prep('in', adj(self.random.choice(v.COLOURS), label='pobj'))

    def _comparison(self, depth: int) -> Tree:
        head = adj(self.random.choice(v.COMPARATIVES), 'JJR')
        head.right.append(prep('than', self.noun_phrase('pobj', depth)))
        return head

    def _trailing(self, depth: int) -> Tree:
        return adv(self.random.choice(['left', 'right', 'there', 'here', 'nearby']))

    # -- commands ----------------------------------------------------------------------
    def _sentence(self) -> Tree:
        if self.chance(0.36):
            phrase = self.noun_phrase('ROOT', bare=0.4)
            if self.chance(0.05):
                phrase.right += [Tree('and', 'CCONJ', 'CC', 'cc'),
                                 self.noun_phrase('conj', 1, bare=0.3)]
            return phrase
        rules = [(0.66, self._polite), (0.10, self._wish), (0.08, self._question),
                 (0.08, self._you_to), (0.04, self._two_commands), (0.04, self._go_and)]
        tree = self.random.choices([r for _, r in rules], [w for w, _ in rules])[0]()
        self._address(tree)
        return tree

    def _objects(self, label: str, depth: int = 0) -> Tree:
        """One noun phrase or, sometimes, several in coordination."""
        first = self.noun_phrase(label, depth)
        if self.chance(0.08):
            first.right += [Tree('and', 'CCONJ', 'CC', 'cc'), self.noun_phrase('conj', 1)]
        elif self.chance(0.03):
            last = self.noun_phrase('conj', 2)
            second = self.noun_phrase('conj', 2)
            second.right += [Tree('and', 'CCONJ', 'CC', 'cc'), last]
            first.right += [punct(','), second]
        return first

    def _action(self, form: Callable[[str], Tree]) -> Tree:
        """A verb phrase; `form` gives the verb its form (imperative, infinitive, gerund)."""
        kind = self.random.random()
        if kind < 0.26:
            head = form(self.made_up() if self.chance(0.04) else self.random.choice(v.TAKE))
            head.right.append(self._objects('dobj'))
        elif kind < 0.48:
            head = self._particle_verb(form)
        elif kind < 0.60:
            word, at = self.random.choice(v.GO)
            head = form(word)
            if self.chance(0.1):
                head.right.append(adv(self.random.choice(['over', 'back', 'straight', 'up'])))
            head.right.append(prep(at, self._objects('pobj')))
        elif kind < 0.76:
            head = self._giving(form)
        else:
            head = self._putting(form)
        return head

    def _particle_verb(self, form: Callable[[str], Tree]) -> Tree:
        word, particle = self.random.choice(v.PARTICLES)
        head = form(word)
        part = Tree(particle, 'ADP', 'RP', 'prt')
        if self.chance(0.35):
            head.right += [pronoun('it', 'dobj') if self.chance(0.08)
                           else self._objects('dobj', 1), part]
        else:
            head.right += [part, self._objects('dobj')]
        return head

    def _receiver(self, label: str) -> Tree:
        if self.chance(0.85):
            return pronoun(self.random.choice(['me', 'me', 'me', *v.PRONOUNS]), label)
        receiver = noun(self.random.choice(v.RECEIVERS), label)
        receiver.left.append(det('the'))
        return receiver

    def _giving(self, form: Callable[[str], Tree]) -> Tree:
        head = form(self.random.choice(v.GIVE))
        if self.chance(0.75):
            head.right += [self._receiver('dative'), self._objects('dobj')]
        else:
            head.right += [self._objects('dobj', 1), prep('to', self._receiver('pobj'))]
        return head

    def _goal(self) -> Tree:
        word = self.random.choice(v.GOALS)
        if word == 'next':
            goal = adv('next')
            goal.right.append(prep('to', self.noun_phrase('pobj', 1)))
        elif word == 'between':
            goal = self._between(2)
        elif word in ('left', 'front', 'top'):
            place = noun(self.random.choice(['left', 'right']) if word == 'left' else word)
            if word == 'left':
                place.left.append(det('the'))
            place.right.append(prep('of', self.noun_phrase('pobj', 1)))
            goal = prep({'left': 'to', 'front': 'in', 'top': 'on'}[word], place)
        else:
            goal = prep(word, self.noun_phrase('pobj', 1))
        return goal

    def _putting(self, form: Callable[[str], Tree]) -> Tree:
        head = form(self.random.choice(v.PUT))
        obj = (pronoun(self.random.choice(['it', 'them']), 'dobj') if self.chance(0.06)
               else self._objects('dobj', 1 if self.chance(0.6) else 2))
        head.right.append(obj)
        if self.chance(0.08):
            head.right.append(adv(self.random.choice(['back', 'down', 'carefully', 'gently'])))
        head.right.append(self._goal())
        return head

    @staticmethod
    def imperative(word: str) -> Tree:
        """The bare form."""
        return verb(word)

    def _polite(self) -> Tree:
        """An imperative or "could you ..."."""
        tree = self._action(self.imperative)
        kind = self.random.random()
        please = Tree('please', 'INTJ', 'UH', 'intj')
        if kind < 0.5:
            return tree
        if kind < 0.65:
            tree.left.append(please)
            return tree
        modal = Tree(self.random.choice(['could', 'can', 'would', 'will']), 'AUX', 'MD', 'aux')
        tree.left += [modal, pronoun('you', 'nsubj')]
        if self.chance(0.25):
            tree.left.append(please)
        elif self.chance(0.1):
            tree.left.append(adv(self.random.choice(['kindly', 'just', 'quickly', 'now'])))
        if kind > 0.93:
            return self._would_you_mind()
        if self.chance(0.3):
            tree.right.append(punct('?'))
        return tree

    def _would_you_mind(self) -> Tree:
        mind = verb('mind')
        mind.left += [Tree('would', 'AUX', 'MD', 'aux'), pronoun('you', 'nsubj')]
        mind.right.append(self._action(lambda w: verb(gerund(w), 'VBG', 'xcomp', w)))
        return mind

    def _i(self) -> list[Tree]:
        if self.chance(0.4):
            modal = self.random.choice(["'d", 'would'])
            return [pronoun('i', 'nsubj'), Tree(modal, 'AUX', 'MD', 'aux', 'would')]
        return [pronoun('i', 'nsubj')]

    def _wish(self) -> Tree:
        """"i want the mug", "can i have the mug"."""
        if self.chance(0.4):
            tree = verb(self.random.choice(['have', 'get', 'see', 'borrow']))
            tree.left += [Tree(self.random.choice(['can', 'could', 'may']), 'AUX', 'MD', 'aux'),
                          pronoun('i', 'nsubj')]
        else:
            subject = self._i()
            tree = (verb('like') if len(subject) == 2
                    else verb(self.random.choice(['want', 'need']), 'VBP'))
            tree.left += subject
        tree.right.append(self._objects('dobj'))
        return tree

    def _you_to(self) -> Tree:
        """"i want you to bring the mug"."""
        subject = self._i()
        tree = (verb('like') if len(subject) == 2
                else verb(self.random.choice(['want', 'need']), 'VBP'))
        tree.left += subject
        inner = self._action(lambda w: verb(w, 'VB', 'ccomp'))
        inner.left[:0] = [pronoun('you', 'nsubj'), Tree('to', 'PART', 'TO', 'aux')]
        tree.right.append(inner)
        return tree

    def _question(self) -> Tree:
        kind = self.random.random()
        if kind < 0.5:
            be = Tree(self.random.choice(['is', "'s"]), 'AUX', 'VBZ', lemma='be')
            be.left.append(adv('where', tag='WRB'))
            be.right.append(self.noun_phrase('nsubj'))
        elif kind < 0.75:
            be = Tree('is', 'AUX', 'VBZ', lemma='be')
            be.right += [Tree('there', 'PRON', 'EX', 'expl'), self.noun_phrase('nsubj')]
        else:
            be = verb(self.random.choice(['see', 'find', 'reach']))
            be.left += [Tree(self.random.choice(['can', 'do']), 'AUX', 'MD', 'aux'),
                        pronoun('you', 'nsubj')]
            be.right.append(self.noun_phrase('dobj'))
        if self.chance(0.5):
            be.right.append(punct('?'))
        return be

    def _two_commands(self) -> Tree:
        first = self._action(self.imperative)
        second = self._action(lambda w: verb(w, 'VB', 'conj'))
        first.right += [Tree(self.random.choice(['and', 'and', 'then']), 'CCONJ', 'CC', 'cc'),
                        second]
        return first

    def _go_and(self) -> Tree:
        """"go and get the mug", "go fetch the mug"."""
        go = verb(self.random.choice(['go', 'go', 'come', 'try']))
        if go.word == 'try' or self.chance(0.4):
            link = (Tree('to', 'PART', 'TO', 'aux') if go.word == 'try'
                    else Tree('and', 'CCONJ', 'CC', 'cc'))
            second = self._action(lambda w: verb(w, 'VB', 'xcomp' if go.word == 'try' else 'conj'))
            if go.word == 'try':
                second.left.insert(0, link)
                go.right.append(second)
            else:
                go.right += [link, second]
        else:
            go.right.append(self._action(lambda w: verb(w, 'VB', 'xcomp')))
        return go

    def _address(self, tree: Tree) -> None:
        """Add greetings in front and "please", "for me" or a full stop behind."""
        if self.chance(0.07):
            opening = [Tree(self.random.choice(v.GREETINGS), 'INTJ', 'UH', 'intj')]
            if self.chance(0.5):
                opening.append(noun(self.random.choice(v.ADDRESSEES), 'npadvmod'))
            if self.chance(0.6):
                opening.append(punct(','))
            tree.left[:0] = opening
        if self.chance(0.08):
            if self.chance(0.2):
                tree.right.append(punct(','))
            tree.right.append(Tree('please', 'INTJ', 'UH', 'intj'))
        elif self.chance(0.06):
            tree.right.append(prep('for', pronoun(self.random.choice(['me', 'us']), 'pobj')))
        elif self.chance(0.03):
            tree.right.append(adv(self.random.choice(['now', 'quickly', 'carefully'])))
        if tree.right[-1].label != 'punct' and self.chance(0.18):
            tree.right.append(punct(self.random.choice('..!')))

    # -- writing -----------------------------------------------------------------------
    def _written(self, tree: Tree) -> list[Node]:
        nodes: list[Node] = []

        def write(node: Tree) -> int:
            left = [write(t) for t in node.left]
            index = len(nodes)
            nodes.append(Node(index, node.word, node.lemma or node.word.lower(), node.pos,
                              node.tag, -1, node.label))
            for child in left + [write(t) for t in node.right]:
                nodes[child].head = index
            return index

        write(tree)
        for before, after in pairwise(nodes):
            if after.word.startswith("'") or after.pos == 'PUNCT':
                before.space = False
        if self.chance(0.5 if nodes[-1].pos == 'PUNCT' else 0.05):
            nodes[0].word = nodes[0].word.capitalize()
        for node in nodes:
            if node.word == 'i' and node.pos == 'PRON' and self.chance(0.5):
                node.word = 'I'
        return nodes
