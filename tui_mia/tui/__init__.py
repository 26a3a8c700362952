"""The terminal app: sets up audits, watches them, and browses what the database has.

In come a database's path and the user's settings; out go specs for the board,
questions to the store, and what a person sees. No model, no attack and no
database connection enters: other rooms do the work, in threads and processes.
"""
