"""The user's settings: what can be set (`schema`), how it is read (`load`) and how it is written (`save`).

The order of the layers is: default, config file, `HYCHAT_*` variables, typed flags; the later wins.
"""
