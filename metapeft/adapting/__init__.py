"""A few labelled texts become a classifier, and a few tagged sentences a tagger of entities.

adapted = adapt_examples(texts, labels)
adapted.save("mine")
load_classifier("mine").predict(["a new text"])

adapted = adapt_sentences(words, tags)
adapted.save("mine")
load_tagger("mine").entities(["a new text"])
"""

from metapeft.adapting.adapted import Adapted, adapt_examples
from metapeft.adapting.classifier import Classifier, load_classifier
from metapeft.adapting.tagger import Entity, Tagger, load_tagger
from metapeft.adapting.tagging import AdaptedTagger, adapt_sentences

__all__ = [
    "Adapted",
    "AdaptedTagger",
    "Classifier",
    "Entity",
    "Tagger",
    "adapt_examples",
    "adapt_sentences",
    "load_classifier",
    "load_tagger",
]
