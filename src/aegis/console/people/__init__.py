"""Who may do what at a console: people, their roles, how they prove who they are.

    roles, rights           the table role -> acts, and the dependency every route declares
    book                    people.db, where all of it is kept
    accounts, proofs        people and one-time links; passwords, second_factor
    sessions, tokens        a browser's opaque session; a script's short-lived EdDSA token
    guard                   in front of the app: who, from where, how often (limits), how much
                            (bodies), and what goes out (answers)
    single_sign_on          a hospital's own provider (OpenID Connect), off by default
    two_persons, promoting  what one person alone may not do
    door                    all of this as one value, opened once by a console
    pages                   login, welcome; account_pages, people_pages; token_routes

Nothing here reads a row, a plan or a model's weights; both consoles use it alike.
"""
