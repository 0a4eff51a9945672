-- Jobs are durable: a serving replica works on one under a lease, and another goes on when its lease has run out.
alter table eventing.dead_letter_jobs
    add column state text not null default 'running',
    -- Why it stopped itself, or what it waits for.
    add column note text,
    -- Letters per second; null for a discard.
    add column rate integer,
    -- How many letters of each fingerprint go first, alone.
    add column canary integer not null default 0,
    -- The canary is over, or an operator wants to go on without it.
    add column canary_over boolean not null default true,
    -- The handler's version when the job was planned.
    add column handler_version text not null default '',
    add column letters bigint not null default 0,
    -- Letters that were sent or discarded.
    add column done bigint not null default 0,
    -- The replica that works on it; the epoch counts up with each that does, and fences those before.
    add column owner text,
    add column epoch bigint not null default 0,
    add column lease_until timestamptz,
    add constraint dead_letter_jobs_state_known
        check (state in ('running', 'paused', 'stopped', 'cancelled', 'finished')),
    add constraint dead_letter_jobs_rate_positive check (rate > 0),
    add constraint dead_letter_jobs_canary_not_negative check (canary >= 0);

update eventing.dead_letter_jobs j
set state = case when finished_at is null then 'running' else 'finished' end,
    letters = (select count(*) from eventing.dead_letter_job_letters l where l.job_id = j.id),
    done = (select count(*) from eventing.dead_letter_job_letters l where l.job_id = j.id and l.done_at is not null);

create index dead_letter_jobs_running on eventing.dead_letter_jobs (consumer_group, created_at) where state = 'running';
create index dead_letter_jobs_newest on eventing.dead_letter_jobs (consumer_group, id);

alter table eventing.dead_letter_job_letters
    -- 'sending' before it is sent: after a crash nobody knows whether it was.
    add column state text not null default 'waiting',
    -- It goes before the others, and they wait for its outcome.
    add column canary boolean not null default false,
    add constraint dead_letter_job_letters_state_known
        check (state in ('waiting', 'sending', 'sent', 'discarded', 'released', 'undone'));

update eventing.dead_letter_job_letters l
set state = case j.action when 'replay' then 'sent' else 'discarded' end
from eventing.dead_letter_jobs j
where j.id = l.job_id and l.done_at is not null;

create index dead_letter_job_letters_waiting
    on eventing.dead_letter_job_letters (job_id, letter_partition, letter_offset)
    where state in ('waiting', 'sending');

-- What was done to a letter last; a letter to which nothing was done has no row. The key is what keeps two jobs from taking
-- one letter.
create table eventing.dead_letter_states (
    consumer_group text not null,
    letter_partition integer not null,
    letter_offset bigint not null,
    state text not null,
    job_id uuid not null constraint dead_letter_states_job_id_fkey references eventing.dead_letter_jobs (id),
    changed_at timestamptz not null,
    constraint dead_letter_states_pkey primary key (consumer_group, letter_partition, letter_offset),
    constraint dead_letter_states_state_known check (state in ('taken', 'replayed', 'discarded'))
);

comment on table eventing.dead_letter_states is 'What was done to dead letters last';

insert into eventing.dead_letter_states (consumer_group, letter_partition, letter_offset, state, job_id, changed_at)
select distinct on (j.consumer_group, l.letter_partition, l.letter_offset)
    j.consumer_group, l.letter_partition, l.letter_offset,
    case when l.done_at is null then 'taken' when j.action = 'replay' then 'replayed' else 'discarded' end,
    j.id, coalesce(l.done_at, j.created_at)
from eventing.dead_letter_job_letters l
join eventing.dead_letter_jobs j on j.id = l.job_id
order by j.consumer_group, l.letter_partition, l.letter_offset, (l.done_at is null) desc, l.done_at desc;

-- What a job would do, to be looked at before it is started. Kept for a week.
create table eventing.dead_letter_plans (
    id uuid constraint dead_letter_plans_pkey primary key,
    consumer_group text not null,
    selection jsonb not null,
    plan jsonb not null,
    made_at timestamptz not null,
    -- The job that it became.
    job_id uuid constraint dead_letter_plans_job_id_fkey references eventing.dead_letter_jobs (id)
);

create index dead_letter_plans_made_at on eventing.dead_letter_plans (made_at);

comment on table eventing.dead_letter_plans is 'What jobs on dead letters would do';

-- What operators decided. Written in the transaction that makes it so, hence before a record of it can reach a topic.
create table eventing.dead_letter_audit (
    id bigint generated always as identity constraint dead_letter_audit_pkey primary key,
    consumer_group text not null,
    at timestamptz not null,
    action text not null,
    operator text not null,
    reason text not null,
    -- To what, in words.
    subject text not null,
    -- How many letters it concerns.
    letters bigint not null,
    job_id uuid constraint dead_letter_audit_job_id_fkey references eventing.dead_letter_jobs (id),
    constraint dead_letter_audit_has_operator check (operator <> ''),
    constraint dead_letter_audit_has_reason check (reason <> '')
);

create index dead_letter_audit_newest on eventing.dead_letter_audit (consumer_group, id);

comment on table eventing.dead_letter_audit is 'What operators decided about dead letters';

insert into eventing.dead_letter_audit (consumer_group, at, action, operator, reason, subject, letters, job_id)
select consumer_group, created_at, action, coalesce(nullif(operator, ''), 'unknown'), reason, selection, letters, id
from eventing.dead_letter_jobs
order by created_at;

-- How a replayed letter ended: a job waits for the outcome of its canary by it, and tells how far it is.
alter table eventing.replay_claims
    add column outcome text,
    add constraint replay_claims_outcome_known check (outcome in ('handled', 'failed'));

-- Replicas that serve a group now. The one whose name is the first in the alphabet keeps the index up to date, all of them run
-- jobs.
create table eventing.dead_letter_replicas (
    consumer_group text not null,
    owner text not null,
    handler_version text not null,
    seen_at timestamptz not null,
    constraint dead_letter_replicas_pkey primary key (consumer_group, owner)
);

comment on table eventing.dead_letter_replicas is 'Replicas that serve a group now';
