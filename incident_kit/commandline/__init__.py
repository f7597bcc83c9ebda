"""The command line: the kit's verbs over a case folder, and what they print."""
