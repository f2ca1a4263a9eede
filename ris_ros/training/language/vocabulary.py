"""Words of the generated commands and referring expressions: plain lists, no rules."""
from __future__ import annotations


def listed(text: str) -> list[str]:
    """Return the words of `text`, repeats included: a word said twice is drawn twice."""
    return text.split()


NOUNS = listed(
    'mug cup bowl plate bottle can box cube ball cylinder cone book banana vase funnel ring '
    'pyramid pan candle block apple spoon fork knife pot kettle jar glass teapot tray basket '
    'bag bucket lid jug pitcher thermos flask carton tin napkin towel sponge brush comb soap '
    'phone laptop keyboard mouse monitor screen tablet camera remote charger cable battery '
    'lamp clock radio speaker television printer pen pencil marker eraser ruler stapler tape '
    'scissors notebook envelope folder letter magazine newspaper card key wallet purse '
    'backpack suitcase umbrella hat cap shirt jacket coat scarf glove shoe boot sock sandal '
    'watch necklace chair sofa couch table desk bench stool shelf cabinet drawer cupboard bed '
    'pillow blanket rug mat curtain door window wall floor sink oven stove fridge microwave '
    'toaster blender counter orange lemon lime pear peach grape cherry strawberry tomato '
    'potato onion carrot pepper cucumber lettuce broccoli mushroom corn egg bread cake donut '
    'cookie sandwich pizza burger cheese chocolate candy cereal milk juice coffee tea soda '
    'water hammer screwdriver wrench drill saw nail screw bolt nut plier rope hose ladder '
    'toolbox wheel gear pipe brick plank stick stone rock leaf flower plant tree bush cactus '
    'car truck bus van bicycle bike motorcycle scooter train plane boat kite skateboard '
    'surfboard snowboard ski racket bat frisbee helmet man woman boy girl child kid person '
    'guy lady player baby toddler driver waiter chef doctor worker dog cat horse cow sheep '
    'goat zebra giraffe elephant bear bird duck chicken pig rabbit lion tiger monkey sign '
    'bin trash container crate case pouch holder stand rack hook tube disc disk sphere prism '
    'hexagon star triangle square circle domino die dice puzzle doll robot toy teddy puppet '
    'balloon drum guitar violin piano trumpet mirror picture painting poster photo frame '
    'statue figurine trophy medal coin bill ticket map globe telescope microscope calculator '
    'switch button knob handle lever valve socket plug adapter fan heater iron vacuum broom '
    'mop dustpan ladle whisk spatula tongs grater peeler colander strainer corkscrew coaster '
    'saucer dish platter wok skillet saucepan casserole lunchbox canister dispenser sachet '
    'packet parcel package bracelet pin badge ribbon string thread needle yarn button zipper '
    'magnet clip clamp wedge peg rod dowel bracket hinge spring washer gasket nozzle syringe '
    'pill thermometer bandage mask goggles glasses headphones earbud microphone tripod lens '
    'hydrant meter light lantern torch flashlight match lighter candlestick ashtray vent fence '
    'gate bridge house building tower chimney roof garage street road sidewalk bottle cup mug '
    'spool reel pad slipper apron bib diaper crib stroller tent sled paddle oar anchor '
    'tennis rug cloth tissue wipe foam putty clay slime paint crayon chalk easel palette')
MASS = listed('water coffee tea milk juice soda paint flour sugar salt soup oil beer wine')
SUBSTANCES = listed('wood metal plastic glass paper steel rubber stone cotton leather wool')
MATERIALS = listed(
    'wooden metal plastic glass paper steel rubber stone ceramic leather golden silver '
             'cardboard porcelain woolen')
COLOURS = listed(
    'red green blue yellow orange purple pink black white brown gray grey beige cyan '
           'magenta turquoise violet teal navy maroon gold silver olive crimson')
SIZES = listed(
    'small big large tiny little huge tall short long wide narrow thick thin giant '
         'medium')
QUALITIES = listed(
    'round square flat empty full open closed clean dirty old new shiny striped spotted '
             'transparent clear heavy soft hard hot cold wet dry bright dark grassy young '
             'rusty smooth rough sharp blunt hollow matte glossy curly fluffy furry plain fancy '
             'ripe rotten fresh sweet sour electric portable spare other same favorite fragile '
             'checkered oval rectangular circular triangular cubic cylindrical spherical '
             'blond bald fat skinny happy sad upright upside vertical horizontal')
COMPARATIVES = listed(
    'bigger larger smaller taller shorter longer wider darker lighter closer nearer '
                'further farther higher lower thinner thicker older younger brighter')
SUPERLATIVES = listed(
    'biggest largest smallest tallest shortest longest widest darkest lightest '
                'closest nearest furthest farthest highest lowest thinnest tiniest oldest '
                'youngest brightest')
PLACES = listed('left right top bottom middle center front back upper lower')
EXTREMES = listed(
    'leftmost rightmost topmost bottommost frontmost middle')
ORDINALS = listed('first second third fourth fifth last next other')
NUMBERS = listed('two three four five six')
PARTICIPLES = (('damaged', 'damage'), ('broken', 'break'), ('folded', 'fold'),
               ('opened', 'open'), ('painted', 'paint'), ('crumpled', 'crumple'),
               ('used', 'use'), ('filled', 'fill'), ('sliced', 'slice'), ('stacked', 'stack'),
               ('hidden', 'hide'), ('covered', 'cover'), ('cracked', 'crack'),
               ('chipped', 'chip'), ('dented', 'dent'), ('bent', 'bend'), ('torn', 'tear'))
ADVERBS = listed('partially slightly half badly completely very quite fully almost heavily')
POSTURES = (('standing', 'stand'), ('sitting', 'sit'), ('lying', 'lie'), ('leaning', 'lean'),
            ('hanging', 'hang'), ('resting', 'rest'), ('laying', 'lay'), ('floating', 'float'),
            ('parked', 'park'), ('placed', 'place'), ('located', 'locate'), ('left', 'leave'),
            ('stacked', 'stack'), ('seated', 'seat'), ('kept', 'keep'), ('found', 'find'))
ACTIVITIES = (('wearing', 'wear'), ('holding', 'hold'), ('carrying', 'carry'),
              ('riding', 'ride'), ('eating', 'eat'), ('using', 'use'), ('facing', 'face'),
              ('touching', 'touch'), ('watching', 'watch'), ('pushing', 'push'),
              ('containing', 'contain'), ('covering', 'cover'), ('feeding', 'feed'))
PREPOSITIONS = listed(
    'behind under above below beside near inside on in by over beneath underneath '
                'against around within at beyond atop opposite outside along across')
RELATIONAL_NOUNS = (  # preposition, noun: "in front of"
    ('in', 'front', False), ('on', 'top', False), ('in', 'back', False), ('on', 'side', True),
    ('in', 'middle', True), ('at', 'bottom', True), ('at', 'top', True), ('at', 'end', True),
    ('on', 'edge', True), ('to', 'left', True), ('to', 'right', True), ('on', 'left', True),
    ('on', 'right', True), ('to', 'right', True), ('to', 'left', True), ('at', 'back', True),
    ('in', 'corner', True), ('at', 'side', True), ('in', 'center', True), ('from', 'top', True),
    ('to', 'side', True), ('on', 'outside', True), ('in', 'front', False), ('in', 'front', False))
ABSOLUTE = (  # preposition, adjectives, noun: "on the far left"
    ('on', (), 'left'), ('on', (), 'right'), ('on', ('far',), 'left'), ('on', ('far',), 'right'),
    ('in', (), 'middle'), ('in', (), 'center'), ('in', (), 'centre'), ('at', (), 'top'),
    ('at', (), 'bottom'), ('on', ('left',), 'side'), ('on', ('right',), 'side'),
    ('in', ('top', 'left'), 'corner'), ('in', ('bottom', 'right'), 'corner'),
    ('in', ('top', 'right'), 'corner'), ('in', ('lower', 'left'), 'corner'),
    ('in', ('upper', 'right'), 'corner'), ('in', (), 'corner'), ('at', ('top',), 'left'),
    ('at', ('bottom',), 'right'), ('at', ('bottom',), 'left'), ('at', ('top',), 'right'),
    ('to', (), 'left'), ('to', (), 'right'), ('in', (), 'front'), ('in', (), 'back'),
    ('at', (), 'back'), ('at', (), 'front'), ('from', (), 'left'), ('from', (), 'right'),
    ('in', (), 'background'), ('in', (), 'foreground'), ('in', ('very',), 'middle'))

TAKE = listed(
    'grab take get fetch lift grasp find locate segment show choose select remove hold touch '
        'push pull open close wash clean identify detect track mark highlight collect retrieve '
        'catch inspect check approach avoid use bring deliver carry move rotate shake squeeze '
        'empty cut pass drop turn examine ground outline box mask pinpoint spot scan count '
        'release seize obtain acquire want need watch describe follow clear tidy recognize '
        'acquire snatch gather handle transport raise lower flip tilt tip')
PARTICLES = (('pick', 'up'), ('pick', 'up'), ('pick', 'up'), ('lift', 'up'), ('put', 'down'),
             ('set', 'down'), ('take', 'away'), ('throw', 'away'), ('turn', 'on'),
             ('turn', 'off'), ('switch', 'on'), ('switch', 'off'), ('point', 'out'),
             ('hand', 'over'), ('bring', 'over'), ('bring', 'back'), ('take', 'out'),
             ('turn', 'over'), ('clean', 'up'), ('hold', 'up'), ('tip', 'over'),
             ('push', 'away'), ('give', 'back'), ('pull', 'out'), ('fill', 'up'))
GO = (('look', 'at'), ('point', 'at'), ('point', 'to'), ('go', 'to'), ('drive', 'to'),
      ('walk', 'to'), ('navigate', 'to'), ('move', 'to'), ('head', 'to'), ('head', 'towards'),
      ('come', 'to'), ('reach', 'for'), ('search', 'for'), ('look', 'for'), ('aim', 'at'),
      ('focus', 'on'), ('fly', 'to'), ('go', 'towards'), ('travel', 'to'), ('roll', 'to'),
      ('drive', 'towards'), ('stop', 'at'), ('wait', 'by'), ('go', 'near'), ('turn', 'towards'),
      ('zoom', 'on'), ('get', 'to'), ('run', 'to'), ('move', 'towards'), ('walk', 'toward'))
GIVE = listed('hand give pass bring show get fetch throw toss hand give bring find grab')
PUT = listed(
    'put place set lay drop insert stack store throw position rest leave hang arrange return '
       'stick move push slide transfer bring carry drag deposit dump tuck put place put place '
       'set pour balance shove toss')
GOALS = listed(
    'in on into onto under behind beside near inside next between to left front top '
         'above below over in on into onto next top by')
ADDRESSEES = listed('robot robby buddy friend assistant jarvis sir')
GREETINGS = listed('hey hi hello ok okay well alright so yes')
PRONOUNS = listed('me him her us them')
RECEIVERS = listed('man woman boy girl child lady guy waiter customer')
IRREGULAR_PLURALS = {
    'knife': 'knives', 'shelf': 'shelves', 'leaf': 'leaves', 'loaf': 'loaves', 'man': 'men',
    'woman': 'women', 'child': 'children', 'person': 'people', 'mouse': 'mice', 'die': 'dice',
    'sheep': 'sheep', 'dice': 'dice', 'scissors': 'scissors', 'glasses': 'glasses',
    'tongs': 'tongs', 'goggles': 'goggles', 'headphones': 'headphones', 'wolf': 'wolves'}
IRREGULAR_GERUNDS = {
    'put': 'putting', 'set': 'setting', 'get': 'getting', 'drop': 'dropping', 'cut': 'cutting',
    'grab': 'grabbing', 'flip': 'flipping', 'tip': 'tipping', 'lie': 'lying', 'spot': 'spotting'}
OWNERS = listed('my your his her our their')
ONSETS = listed('b bl c cr d dr f fl g gr h k l m n p pl r s st t tr v w z')
VOWELS = listed('a e i o u oo ea')
CODAS = listed('b ck d g l m n p r t x ff le er ton')
