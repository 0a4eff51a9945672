-- The outbox in lanes. A lane is a share of the aggregates, each of which has all its rows in one lane; one relay at a time
-- holds the lease of a lane, so that replicas share the work and an aggregate's rows still go out one after the other.
--
-- A writer of the release before names no lane and is refused from here on, because a row of its own choosing could overtake
-- one of the same aggregate: stop it before this runs.

-- The lane of an aggregate. `Outbox::append` computes the same; a test holds the two equal. Eight lanes, because a lane waits
-- for the acknowledgements of a batch before it sends the next one, and eight such waits fill two to four cores; that is also how
-- many replicas can share the work. The number is part of the data: it can be changed only while the outbox is empty.
create function eventing.outbox_lane(topic text, key text) returns smallint
    language sql immutable strict parallel safe
    return (get_byte(sha256(convert_to(topic || '/' || key, 'UTF8')), 0) % 8)::smallint;

-- Who relays which lane. A lease runs out by the database's clock, which is the one clock that all replicas share.
create table eventing.outbox_lanes (
    lane smallint constraint outbox_lanes_pkey primary key,
    -- The relay that holds the lane: a new name each time that a relay starts. Null while nobody does.
    owner uuid,
    -- Counts how often the lane was taken. Whatever changes rows of a lane names the epoch of its lease, and changes none
    -- when it is over: what an owner of before left behind on its way cannot come in later.
    epoch bigint not null default 0,
    expires_at timestamptz not null default '-infinity',
    -- The owner waits to be notified. A writer in another process does so only then.
    asleep boolean not null default false,
    -- How often blocked rows went back to the lane. They go back under their old numbers, which the owner may have left
    -- behind; it sees by this that it has to look at the low numbers again.
    releases bigint not null default 0,
    -- So that taking a lane, and nothing else, changes a key of its row: `for key share` then keeps a lane from being taken for
    -- the length of a statement, and does not wait for a renewal.
    constraint outbox_lanes_lease_key unique (lane, epoch),
    constraint outbox_lanes_lane_known check (lane between 0 and 7)
)
with (fillfactor = 50);

comment on table eventing.outbox_lanes is 'Who relays which lane of the outbox, and until when';

insert into eventing.outbox_lanes (lane) select generate_series(0, 7);

-- The relays that are alive, by which each knows its share of the lanes.
create table eventing.outbox_relays (
    relay uuid constraint outbox_relays_pkey primary key,
    expires_at timestamptz not null
)
with (fillfactor = 50);

comment on table eventing.outbox_relays is 'The relays that are alive';

lock table eventing.outbox in access exclusive mode;
alter table eventing.outbox rename to outbox_before_lanes;
alter table eventing.outbox_before_lanes rename constraint outbox_pkey to outbox_before_lanes_pkey;
alter sequence eventing.outbox_seq owned by none;

create table eventing.outbox (
    lane smallint not null,
    seq bigint not null default nextval('eventing.outbox_seq'),
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
    constraint outbox_pkey primary key (lane, seq),
    constraint outbox_sequence_positive check (sequence >= 1)
)
partition by list (lane);

comment on table eventing.outbox is 'Events that are committed and not yet on their topic';

alter sequence eventing.outbox_seq owned by eventing.outbox.seq;

-- A partition per lane: a lane's rows lie together, and each is vacuumed by itself. Every row is inserted once and deleted soon
-- after. Vacuum must keep up with that rather than wait for a share of the table, and must not cut the file's end off, for
-- which it would lock everyone out.
do $$
begin
    for lane in 0..7 loop
        execute format(
            'create table eventing.outbox_%s partition of eventing.outbox for values in (%s)
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
             )',
            lane,
            lane
        );
    end loop;
end
$$;

insert into eventing.outbox (lane, seq, topic, key, sequence, payload, headers, created_at)
select eventing.outbox_lane(topic, key), seq, topic, key, sequence, payload, headers, created_at
from eventing.outbox_before_lanes;

drop table eventing.outbox_before_lanes;

-- Where blocked rows go back to.
alter table eventing.outbox_blocked add column lane smallint;
update eventing.outbox_blocked set lane = eventing.outbox_lane(topic, key);
alter table eventing.outbox_blocked alter column lane set not null;

alter table eventing.outbox_set_aside add column lane smallint;
update eventing.outbox_set_aside set lane = eventing.outbox_lane(topic, key);
alter table eventing.outbox_set_aside alter column lane set not null;

drop table eventing.outbox_releases;
