-- Breakers that are open: failures of one fingerprint have shown that something a group's handler depends on is down, and the
-- group's records of these event types are held. All members share the row, and it survives their restart; a breaker that is
-- closed has none.
create table eventing.breakers (
    consumer_group text not null,
    fingerprint text not null,
    -- The event types whose records have failed so, and are held; '' for records that do not say theirs.
    event_types text[] not null,
    -- The failure that opened it, for whoever has to find out what is down.
    class text not null,
    message text not null,
    opened_at timestamptz not null,
    -- When the next record may be tried. A member that tries one moves it on by as long as that may take.
    probe_due_at timestamptz not null,
    -- Who tries one now: only they may say how it went.
    probe uuid,
    -- In a row; the pauses between them grow.
    failed_probes integer not null default 0,
    constraint breakers_pkey primary key (consumer_group, fingerprint),
    constraint breakers_hold_something check (cardinality(event_types) > 0)
);

comment on table eventing.breakers is 'Open breakers: what a group holds because everything alike fails';
