"""What a user hands over beside words: files, pasted text."""
