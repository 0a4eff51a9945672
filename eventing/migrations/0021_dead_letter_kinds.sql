-- The groups of failures are counted from each table by itself, without joining letter by letter.
alter table eventing.dead_letter_states
    -- The letter's, which never changes; null when the letter is no longer on its topic, and so not counted.
    add column fingerprint text;

update eventing.dead_letter_states s
set fingerprint = d.fingerprint
from eventing.dead_letters d
where d.consumer_group = s.consumer_group and d.letter_partition = s.letter_partition and d.letter_offset = s.letter_offset;

-- All that is counted of letters, so that they themselves need not be read.
drop index eventing.dead_letters_fingerprint;
create index dead_letters_fingerprint
    on eventing.dead_letters (consumer_group, fingerprint, died_at) include (first_failed_at)
    where copy_of_partition is null;
