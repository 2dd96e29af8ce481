"""One turn of chat, for every face: guard, fit, ask, part thought from answer, keep."""
