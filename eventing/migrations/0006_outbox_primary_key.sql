-- A partition has one lane, so the number comes first. With the lane first the planner may look for published rows by reading
-- the whole lane, when it takes the lane to be small; by number there is no such way.
alter table eventing.outbox drop constraint outbox_pkey;
alter table eventing.outbox add constraint outbox_pkey primary key (seq, lane);
