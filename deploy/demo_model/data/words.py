# SPDX-License-Identifier: Apache-2.0
"""Words: a list of our own, made-up words that look like English, and the split that keeps some out of training."""

import hashlib
import random

ENGLISH = """
apple apricot banana blackberry blueberry blueberries cherry cranberry currant raspberry raspberries strawberry
strawberries gooseberry elderberry grape lemon lime mango melon orange papaya peach pear plum quince tangerine
carrot celery cabbage broccoli spinach lettuce pepper potato tomato onion garlic ginger radish turnip parsley
bread butter cheese cream yogurt honey sugar cinnamon vanilla chocolate coffee coconut cookie biscuit pancake
noodle pasta pizza sandwich soup stew dinner breakfast lunch supper kitchen kettle spoon fork knife plate bottle
table chair sofa pillow blanket curtain carpet mirror window door ceiling floor garden fence gate roof chimney
house cottage castle palace tower bridge tunnel street avenue village city harbor airport station railway highway
river lake ocean island mountain valley forest meadow desert canyon volcano glacier waterfall rainbow thunder
lightning storm blizzard drizzle breeze hurricane tornado summer winter autumn spring season weather climate
planet moon comet meteor galaxy universe gravity orbit rocket satellite telescope astronaut eclipse horizon
tiger lion leopard panther elephant giraffe zebra rhinoceros hippopotamus kangaroo koala rabbit squirrel hamster
beaver otter badger hedgehog raccoon weasel ferret wolf fox bear panda monkey gorilla chimpanzee buffalo antelope
horse donkey camel sheep goat cattle chicken turkey pigeon sparrow swallow robin eagle falcon penguin ostrich
parrot flamingo pelican dolphin whale shark salmon herring lobster shrimp oyster jellyfish octopus turtle tortoise
lizard crocodile alligator dinosaur butterfly dragonfly beetle cricket mosquito spider scorpion caterpillar
flower tulip daisy orchid lavender sunflower marigold lily violet blossom petal branch leaf root seed bark
music melody rhythm harmony guitar violin piano trumpet trombone clarinet saxophone drummer orchestra concert
paint brush canvas sculpture drawing museum gallery theater cinema actor dancer singer writer poet novel chapter
letter sentence paragraph grammar alphabet dictionary library notebook pencil eraser paper envelope message
teacher student classroom lesson homework exercise college university professor science physics chemistry biology
algebra geometry fraction decimal number addition subtraction multiplication division equation formula theorem
doctor nurse hospital medicine bandage surgery dentist patient symptom fever headache stomach shoulder elbow
finger knuckle ankle muscle skeleton eyebrow forehead whisker feather hammer screwdriver wrench ladder bucket
engine motor wheel bicycle motorcycle tractor truck trailer submarine helicopter airplane parachute passenger
captain sailor soldier general emperor princess kingdom knight warrior wizard dragon unicorn mermaid phantom
computer keyboard monitor printer software hardware network internet server database compiler function variable
pointer buffer register processor memory kernel thread process scheduler gateway tokenizer tensor vector matrix
gradient parameter attention transformer embedding sequence quantize inference pipeline benchmark latency cluster
market money dollar wallet customer business company manager factory product delivery contract invoice discount
summit picnic journey adventure vacation luggage passport compass lantern campfire tent hammock trail backpack
football baseball basketball volleyball tennis hockey wrestling swimming marathon champion trophy referee stadium
happy cheerful gentle clever brave curious honest patient generous friendly peaceful graceful delightful wonderful
angry nervous lonely jealous stubborn careless terrible horrible miserable dangerous ridiculous mysterious ancient
modern simple complex narrow hollow shallow bitter silver golden copper purple yellow crimson scarlet turquoise
remember forget understand consider imagine discover explore wander travel arrive depart whisper shout laughter
balance measure compare collect gather scatter deliver receive borrow return repair replace recover surrender
yesterday tomorrow tonight morning evening midnight birthday holiday festival ceremony wedding anniversary
mississippi tennessee hawaii alabama colorado arizona kentucky california bookkeeper committee assessment
possession success necessary accommodate occurrence millennium parallel address beginning difference disappear
embarrass essential existence foreign guarantee harass immediate independent jewelry kindergarten leisure
maintenance mischief noticeable occasion parliament queue recommend rhythmical separate tendency unforeseen vacuum
abbey acorn agenda alpine amber anchor anthem apron arrow atlas attic bagel bamboo banner barley basil beacon
blimp bonfire bracelet bronze bubble bullet butler cabin cactus candle canoe cargo cedar cellar cement chapel
cheddar circus cobweb cocoon coral cotton cradle crayon crystal cushion custard dagger dairy dimple donut
drawer dusk easel echo ember fable falafel fennel fiddle flannel fossil fountain freckle frost furnace gadget
galley garnet gazelle giggle glimmer goblet gravel grotto gully gutter hazel helmet hickory hinge hobby hornet
igloo indigo inlet ivory jasmine jersey jigsaw jungle juniper kennel kernel kiosk kitten ladle lagoon lapel
lattice lemonade lentil locket lotus lumber magnet mallet mammal maple marble meringue mitten molasses moss
muffin mustard nectar needle nettle nozzle nugget oatmeal olive onyx opal orchard paddle pebble pepperoni pickle
pigment pillar pistachio platypus plaza pocket pollen poppy porridge prairie pretzel pudding pumpkin puzzle
quarrel quartz quiver raisin ravine ribbon riddle ripple rooster rubber saddle saffron sandal sapphire satchel
shovel shutter skillet sleigh slipper snorkel socket sparkle spatula spindle sprocket squirrel staple stirrup
summer tassel teapot terrace thimble thistle timber toffee tractor trellis trickle truffle tunnel tuxedo twig
umbrella utensil velvet vinegar waffle walnut walrus wicker willow windmill wobble woodpecker yodel zeppelin
zigzag zipper zucchini
""".split()

ONSETS = ["b", "bl", "br", "c", "ch", "cl", "cr", "d", "dr", "f", "fl", "fr", "g", "gl", "gr", "h", "j", "k", "l",
          "m", "n", "p", "ph", "pl", "pr", "qu", "r", "s", "sc", "sh", "sk", "sl", "sm", "sn", "sp", "st", "str", "sw",
          "t", "th", "tr", "tw", "v", "w", "wh", "wr", "y", "z", ""]
VOWELS = ["a", "e", "i", "o", "u", "ai", "ea", "ee", "ie", "oa", "oo", "ou", "y", "au", "io", "ue"]
CODAS = ["", "", "", "b", "ck", "d", "ff", "g", "l", "ll", "m", "mp", "n", "nd", "ng", "nk", "nt", "p", "pp", "r", "rr",
         "rd", "rk", "rm", "rn", "s", "ss", "st", "t", "tt", "tch", "x", "zz"]
ENDINGS = ["", "", "", "s", "es", "er", "ed", "ing", "ly", "ness", "ment", "tion", "able", "ful", "less", "ish", "ies"]

# Never in training: the model card's own three turns must be answered by skill, not by memory.
ALWAYS_HELD_OUT = {"strawberry", "strawberries", "blueberry", "blueberries", "raspberry", "raspberries"}
_LIST = sorted(set(ENGLISH))


def held_out(key, share=10):
    """Whether a word, a sum or a name is kept out of training: one in `share`, by a hash that never changes."""
    return int(hashlib.sha256(str(key).encode()).hexdigest()[:8], 16) % share == 0


def word_is_held_out(word):
    return word.lower() in ALWAYS_HELD_OUT or held_out("word:" + word.lower())


def made_up(rng):
    word = ""
    for _ in range(rng.choice([1, 2, 2, 3])):
        word += rng.choice(ONSETS) + rng.choice(VOWELS) + rng.choice(CODAS)
    return word + rng.choice(ENDINGS)


class Words:
    """Draws words of 2 to max_letters letters from one side of the split.

    pieces: the tokenizer's alphabetic tokens. Words are also put together from them, so that the spelling of
    every token is seen in training.
    """

    def __init__(self, evaluation, pieces=(), max_letters=12):
        self.evaluation = evaluation
        self.pieces = list(pieces)
        self.max_letters = max_letters
        self.english = [w for w in _LIST if word_is_held_out(w) == evaluation and len(w) <= max_letters]

    def draw(self, rng):
        while True:
            kind = rng.random()
            if kind < (0.5 if self.evaluation else 0.25):
                return rng.choice(self.english)
            if kind < 0.6 and self.pieces:
                word = "".join(rng.choice(self.pieces) for _ in range(rng.choice([1, 2, 2, 3, 3, 4])))
            elif kind < 0.7:
                word = "".join(rng.choice("abcdefghijklmnopqrstuvwxyz") for _ in range(rng.randint(3, 8)))
            else:
                word = made_up(rng)
            if 2 <= len(word) <= self.max_letters and word_is_held_out(word) == self.evaluation:
                return word


def split_numbers(evaluation, key):
    """Whether this combination of numbers belongs to the side that is asked for."""
    return held_out("numbers:" + key) == evaluation


if __name__ == "__main__":
    source = random.Random(0)
    print(len(_LIST), "English words,", len(Words(True).english), "held out")
    print(" ".join(Words(False).draw(source) for _ in range(40)))
