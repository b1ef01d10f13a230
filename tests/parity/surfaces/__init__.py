"""What each language's package really offers, read from what its users see.

A surface is a set of names, spelled as the language spells them:
``Type.method`` and ``function``, ``Type.method(option)`` for an argument that has a name, and
``Type.field`` for an option that is a field of a structure.
"""
