-- The first answer to a request that carried an Idempotency-Key.
create table idempotency_keys (
    merchant_id   uuid        not null,
    method        text        not null,
    path          text        not null,
    key           text        not null,
    -- SHA-256 of the normalised request; the request itself is not kept.
    request_hash  bytea       not null,
    -- The payment or refund that the request created. The row is written in the same transaction as it, so that after a crash
    -- the answer can be given from it.
    resource_id   uuid        not null,
    -- Until then somebody is working on the first answer. Past that they are gone, and the next one answers.
    claimed_until timestamptz not null,
    -- Null while in flight.
    answer_status smallint,
    answer_body   bytea,
    created_at    timestamptz not null,
    constraint idempotency_keys_pkey primary key (merchant_id, method, path, key),
    constraint idempotency_keys_merchant_fkey foreign key (merchant_id) references merchants (id),
    constraint idempotency_keys_answer_whole check ((answer_status is null) = (answer_body is null))
);
-- For pruning after 30 days.
create index idempotency_keys_by_age on idempotency_keys (created_at);
