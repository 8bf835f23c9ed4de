"""The glossary of array shapes, and the aliases that several sub-packages share.

Shape letters: B sequences, T query position, S key position, V vocabulary, D model
width, K key/value heads, G query heads per key/value head, H head width, F
feed-forward width, L layers, N records.
"""

from typing import Any

Json = dict[str, Any]  # one object of a JSON document
Number = float | int  # the tests' type checker takes no int for a float
