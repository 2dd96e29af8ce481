"""The models that hychat knows by name, and where their files are on this machine.

`gguf/catalogue/*.yaml` holds what is known, one file a family (`read`); a folder of the user's own adds to it and wins
(`find`).
"""
