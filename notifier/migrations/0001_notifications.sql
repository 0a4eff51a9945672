-- One row is one notice: one event told to one recipient over one channel. It is written by the consumer, in the
-- transaction that consumes the event, and from then on is the schedule of its own delivery.
--
-- No personal data is kept here. Contacts are asked at each delivery, bodies are rendered and forgotten, and what
-- stays of a recipient is a mask.
create table notifications (
    id uuid constraint notifications_pkey primary key,

    -- Where the event stands in Kafka, so that an operator finds its record again.
    event_id uuid not null,
    event_type text not null,
    topic text not null,
    topic_partition integer not null,
    topic_offset bigint not null,
    -- The event's own time, which the receiver of a notice is told.
    occurred_at timestamptz not null,

    merchant_id uuid not null,
    type text not null
        constraint notifications_type_is_known check (type in (
            'payment_success', 'payment_failed', 'payment_refunded',
            'settlement_approval', 'settlement_complete', 'settlement_failed',
            'withdrawal_complete', 'withdrawal_failed')),
    channel text not null
        constraint notifications_channel_is_known check (channel in ('mail', 'webhook')),
    -- A role, not a person: who fills it is asked at each delivery.
    recipient text not null
        constraint notifications_recipient_is_a_role check (recipient ~ '^(customer|merchant|approver-[1-9][0-9]{0,3})$'),
    -- What the event said: numbers, states, amounts. A notice is rendered from this and from the contact.
    facts jsonb not null,

    status text not null default 'pending'
        constraint notifications_status_is_known check (status in ('pending', 'sent', 'failed', 'suppressed')),
    -- Why it failed or was suppressed, as a stable word.
    reason text,
    masked_recipient text,
    -- All attempts ever, and those of the present round (a resend starts a new one).
    attempts integer not null default 0
        constraint notifications_attempts_count_up check (attempts >= 0),
    round_attempts integer not null default 0
        constraint notifications_round_is_part_of_attempts check (round_attempts between 0 and attempts),
    -- When a worker may claim it. A claim moves this to the end of its lease: a worker that dies leaves a row
    -- that becomes due again by itself.
    due_at timestamptz,
    -- The present claim. Only its holder may record an outcome.
    claim_id uuid,

    created_at timestamptz not null,
    -- Since when it waits: when it was written, or asked for again.
    queued_at timestamptz not null,
    updated_at timestamptz not null,
    sent_at timestamptz,

    -- Once, however often the event arrives.
    constraint notifications_once_per_event_recipient_channel unique (event_id, recipient, channel),
    constraint notifications_are_due_while_pending check ((due_at is not null) = (status = 'pending')),
    constraint notifications_are_claimed_while_pending check (claim_id is null or status = 'pending'),
    constraint notifications_have_a_reason_unless_well check ((reason is not null) = (status in ('failed', 'suppressed'))),
    constraint notifications_sent_have_a_time check (status <> 'sent' or sent_at is not null)
);

-- The schedule: is anything due, and what is due for one merchant (the unit of fairness) on one channel.
create index notifications_due on notifications (channel, due_at) where status = 'pending';
create index notifications_due_by_merchant on notifications (channel, merchant_id, due_at) where status = 'pending';
-- Lists, newest first (ids are in time order).
create index notifications_by_merchant on notifications (merchant_id, id desc);
create index notifications_by_status on notifications (status, id desc) where status in ('failed', 'suppressed');

-- What was done about a notice. The row is written before anything is sent: one without an outcome belongs to a worker
-- that is at it, or that died, and in the latter case nobody knows whether the notice arrived.
create table attempts (
    notification_id uuid not null
        constraint attempts_belong_to_a_notification references notifications (id),
    attempt integer not null
        constraint attempts_count_from_one check (attempt >= 1),
    started_at timestamptz not null,
    finished_at timestamptz,
    outcome text
        constraint attempts_outcome_is_known check (outcome in ('delivered', 'refused', 'failed', 'unknown', 'not_sent')),
    -- A stable word for what happened, and the answer's status (HTTP or SMTP) where there was one. Never the other side's text.
    reason text,
    answer_code integer,

    constraint attempts_pkey primary key (notification_id, attempt),
    constraint attempts_end_with_an_outcome check ((finished_at is null) = (outcome is null))
);
