"""The same small application in four frameworks: questions answered from sentences, by a store that lives through
growing, restarts, deletes and kills."""
