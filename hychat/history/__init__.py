"""Conversations on disk: `store` keeps them, `schema` lays them out, `search` finds words in them."""
