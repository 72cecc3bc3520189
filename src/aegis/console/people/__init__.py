"""Who may do what at a console: people, their roles, how they prove who they are.

    roles, rights        the table role -> acts, and the dependency every route declares
    accounts, secrets    people in people.db: argon2 passwords, one-time links, second factor
    sessions, tokens     a browser's opaque session; a script's short-lived EdDSA token
    guard                in front of the app: who asks, how often, how much, and from where
    single_sign_on       a hospital's own identity provider (OpenID Connect), off by default
    two_persons          what one person alone may not do
    pages                the pages of it: login, welcome, account, people

Nothing here reads a row, a plan or a model; both consoles use it alike.
"""
