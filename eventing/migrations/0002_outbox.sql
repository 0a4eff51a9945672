-- Numbers the outbox rows. CACHE 1, because the order of an aggregate's rows rests on it: a session that took numbers in
-- advance would give a later event of an aggregate a lower number.
create sequence eventing.outbox_seq as bigint cache 1;

-- Events that are committed and not yet known to be on their topic. A row is inserted in the transaction of the state
-- change, under the row lock of its aggregate; the relay deletes it once the broker has acknowledged the record.
--
-- Two rows of one aggregate are therefore numbered in the order in which they commit. Rows of different aggregates are
-- not, so nothing may conclude from a number that no lower one can appear any more.
create table eventing.outbox (
    seq bigint not null default nextval('eventing.outbox_seq') constraint outbox_pkey primary key,
    topic text not null,
    -- The aggregate's id, which is the record's key.
    key text not null,
    -- The event's number within its aggregate.
    sequence bigint not null,
    -- The record's value, framed: 0x00, schema id, Avro.
    payload bytea not null,
    -- The record's headers as the relay sends them, including the trace context in which the event was created.
    headers bytea not null,
    created_at timestamptz not null,
    constraint outbox_sequence_positive check (sequence >= 1)
)
-- Every row is inserted once and deleted soon after. Vacuum must keep up with that rather than wait for a share of the
-- table, and must not cut the file's end off, for which it would lock everyone out.
with (
    autovacuum_vacuum_scale_factor = 0,
    autovacuum_vacuum_threshold = 5000,
    autovacuum_vacuum_insert_threshold = -1,
    autovacuum_vacuum_cost_delay = 0,
    autovacuum_analyze_scale_factor = 0,
    autovacuum_analyze_threshold = 100000,
    vacuum_truncate = false,
    toast.autovacuum_vacuum_scale_factor = 0,
    toast.autovacuum_vacuum_threshold = 5000,
    toast.autovacuum_vacuum_cost_delay = 0,
    toast.vacuum_truncate = false
);

alter sequence eventing.outbox_seq owned by eventing.outbox.seq;

comment on table eventing.outbox is 'Events that are committed and not yet on their topic';

-- Outbox rows that cannot be published. Each blocks its own aggregate, because nothing after an unresolved event may be
-- sent, and none other. An operator resolves it with `outbox retry` or `outbox discard`, which delete the row here.
create table eventing.outbox_set_aside (
    seq bigint constraint outbox_set_aside_pkey primary key,
    topic text not null,
    key text not null,
    reason text not null,
    set_aside_at timestamptz not null,
    -- An aggregate's first unpublishable row keeps the others from being tried.
    constraint outbox_set_aside_aggregate_key unique (topic, key)
);

comment on table eventing.outbox_set_aside is 'Outbox rows that cannot be published, and why';

-- What operators did to rows that had been set aside. Written in the transaction that does it, hence before a record of it
-- can reach a topic.
create table eventing.outbox_audit (
    id bigint generated always as identity constraint outbox_audit_pkey primary key,
    at timestamptz not null,
    action text not null,
    operator text not null,
    -- Why; a discard has to say.
    reason text,
    seq bigint not null,
    topic text not null,
    key text not null,
    sequence bigint not null,
    event_type text,
    -- Why the row had been set aside.
    set_aside_reason text not null,
    constraint outbox_audit_action_known check (action in ('retry', 'discard')),
    constraint outbox_audit_discard_has_reason check (action <> 'discard' or reason is not null)
);

comment on table eventing.outbox_audit is 'What operators did to outbox rows that had been set aside';
