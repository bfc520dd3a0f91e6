"""A few labelled texts become a classifier.

adapted = adapt_examples(texts, labels)
adapted.save("mine")
load_classifier("mine").predict(["a new text"])
"""

from metapeft.adapting.adapted import Adapted, adapt_examples
from metapeft.adapting.classifier import Classifier, load_classifier

__all__ = ["Adapted", "Classifier", "adapt_examples", "load_classifier"]
