-- Statements that build, join, sort and throw away strings of one byte to tens of kilobytes, most of them
-- grown step by step: half a million reallocations, many sizes live at once. The last query answers 3999.
DROP TABLE IF EXISTS v;
CREATE TABLE v(id INTEGER PRIMARY KEY, body TEXT);
BEGIN;
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 4000)
  INSERT INTO v SELECT i, printf('%.*c', 1 + (i * 7919) % 3001, 'y') FROM n;
COMMIT;
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 40000)
  SELECT sum(length(replace(printf('%.*c', 1 + (i * 104729) % 9001, 'ab'), 'a', 'xyz'))
    + length(hex(zeroblob((i * 7919) % 2003)))
    + length(upper(printf('%d-%s', i, printf('%.*c', i % 97, 'q'))))) FROM n;
SELECT sum(length(s)) FROM (SELECT group_concat(body, ',') AS s FROM v GROUP BY id % 611);
SELECT sum(length(b)) FROM (SELECT body || id AS b FROM v ORDER BY substr(body, -7) || id % 1009, id);
SELECT count(DISTINCT substr(body, 1, id % 701) || id % 1511) FROM v;
SELECT count(*) FROM v AS a JOIN v AS b ON length(a.body) = b.id WHERE length(a.body || b.body) > 100;
