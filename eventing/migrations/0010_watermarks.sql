-- How far an ordered group has come in each aggregate. The row's lock serialises the aggregate, and the row itself is what
-- holds back later events: none but last_sequence + 1 is applied.
create table eventing.watermarks (
    consumer_group text not null,
    topic text not null,
    -- The aggregate's id.
    key text not null,
    -- The sequence of the last event that was applied; 0 while there is none.
    last_sequence bigint not null,
    -- When the periodic drain takes up the aggregate; null while no parked event waits with nothing before it. Written in
    -- the transaction that resolves the event before it, so a crash leaves no parked event behind; a little in the future,
    -- because whoever resolved that event drains at once.
    drain_due_at timestamptz,
    constraint watermarks_pkey primary key (consumer_group, topic, key),
    constraint watermarks_last_sequence_not_negative check (last_sequence >= 0)
)
-- Each event updates its row in place (HOT), for which pages need room.
with (fillfactor = 70);

create index watermarks_drain_due on eventing.watermarks (consumer_group, drain_due_at) where drain_due_at is not null;

comment on table eventing.watermarks is 'The last sequence that an ordered group has applied, per aggregate';

-- Events of an ordered group that came before their turn, because an earlier event of their aggregate waits in a retry tier
-- or among the dead letters. They are kept as they came, and applied in order once that is resolved.
create table eventing.parked (
    consumer_group text not null,
    topic text not null,
    key text not null,
    sequence bigint not null,
    -- An operator discarded the event of this sequence: when its turn comes it is passed over. It then has no record.
    discarded boolean not null default false,
    -- Where the record was read, and the retry tier if it came through one (0: the domain topic).
    read_topic text,
    read_partition integer,
    read_offset bigint,
    tier integer,
    recorded_at timestamptz,
    record_key bytea,
    payload bytea,
    headers bytea,
    parked_at timestamptz not null,
    constraint parked_pkey primary key (consumer_group, topic, key, sequence),
    constraint parked_sequence_positive check (sequence >= 1),
    constraint parked_has_record check (
        discarded
        or num_nulls(read_topic, read_partition, read_offset, tier, recorded_at, headers) = 0
    )
);

comment on table eventing.parked is 'Events that wait for an earlier event of their aggregate';
