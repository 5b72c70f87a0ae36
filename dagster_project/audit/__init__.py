"""audit: the rules of the tables as JSON suites, and the one module that runs them.

`suites` reads the rules, `verdict` is what comes of them, and `expect` alone imports great_expectations.
"""
