-- Who is signed in to the dashboard. Only the hash of the cookie is kept: a copy of this table opens nothing.
create table sessions (
    token_hash  bytea       not null,
    -- Null for staff, who see every merchant.
    merchant_id uuid,
    expires_at  timestamptz not null,
    constraint sessions_pkey primary key (token_hash)
);

-- Tickets for the live socket: one use, half a minute, so that no credential ever stands in a URL.
create table tickets (
    token_hash  bytea       not null,
    merchant_id uuid,
    expires_at  timestamptz not null,
    constraint tickets_pkey primary key (token_hash)
);
