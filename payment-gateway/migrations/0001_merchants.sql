-- Who may ask for payments, and how they prove who they are.

-- A merchant is a tenant: everything below belongs to exactly one.
create table merchants (
    id             uuid        not null,
    name           text        not null,
    -- Where the merchant wants its own notices; a business contact, given out by the contact endpoint only.
    email          text        not null,
    -- Default target of merchant webhooks; a payment may name its own.
    notify_url     text,
    status         text        not null,
    -- The Standard Webhooks secret, encrypted with the service's master key.
    webhook_secret bytea       not null,
    created_at     timestamptz not null,
    updated_at     timestamptz not null,
    constraint merchants_pkey primary key (id),
    constraint merchants_status_known check (status in ('active', 'suspended')),
    constraint merchants_name_bounded check (length(name) between 1 and 200),
    constraint merchants_email_bounded check (length(email) between 3 and 254)
);

-- A key signs requests. Rotation gives the merchant a second live key, so that it can switch without a gap; a revoked key
-- stays as a row, so that the use of it can be told from a key that never was.
create table api_keys (
    id          uuid        not null,
    merchant_id uuid        not null,
    -- HMAC secret, encrypted with the service's master key: verifying needs the plain text, so a hash would not do.
    secret      bytea       not null,
    created_at  timestamptz not null,
    revoked_at  timestamptz,
    constraint api_keys_pkey primary key (id),
    constraint api_keys_merchant_fkey foreign key (merchant_id) references merchants (id)
);
create index api_keys_by_merchant on api_keys (merchant_id, created_at);

-- The keys that sign merchants' tokens. All that are not past `verify_until` are published in the JWKS; the newest signs.
create table signing_keys (
    id           text        not null,
    algorithm    text        not null,
    -- PKCS#8 private key, encrypted with the service's master key.
    private_key  bytea       not null,
    public_jwk   jsonb       not null,
    created_at   timestamptz not null,
    -- Null while the key may sign; then the end of the life of the last token that it signed.
    verify_until timestamptz,
    constraint signing_keys_pkey primary key (id)
);

-- The merchant's customer. Personal data lives here and nowhere else in this database; events and payments carry the id.
-- One row per merchant and address, so that one erasure reaches every payment of that person at that merchant.
create table customers (
    id           uuid        not null,
    merchant_id  uuid        not null,
    -- Encrypted with the service's master key; null once erased.
    email        bytea,
    phone        bytea,
    -- Keyed digest of the normalised address: finds the row without the address being readable.
    email_digest bytea,
    created_at   timestamptz not null,
    erased_at    timestamptz,
    constraint customers_pkey primary key (id),
    constraint customers_merchant_fkey foreign key (merchant_id) references merchants (id),
    constraint customers_erased_is_empty check (
        (erased_at is null and email is not null and email_digest is not null)
        or (erased_at is not null and email is null and phone is null and email_digest is null)
    ),
    constraint customers_one_per_address unique (merchant_id, email_digest)
);
