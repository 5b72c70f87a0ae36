-- The tables that Redshift's pages on nested data, SUPER and JSON functions define.
CREATE SCHEMA spectrum;
CREATE TABLE spectrum.customers AS SELECT * FROM (VALUES
  (1, {'given': 'John', 'family': 'Smith'}, ['123-457789'], [{'shipdate': TIMESTAMP '2018-03-01 11:59:59', 'price': 100.50::DOUBLE}, {'shipdate': TIMESTAMP '2018-03-01 09:10:00', 'price': 99.12::DOUBLE}]),
  (2, {'given': 'Jenny', 'family': 'Doe'}, ['858-8675309', '415-9876543'], []),
  (3, {'given': 'Andy', 'family': 'Jones'}, [], [{'shipdate': TIMESTAMP '2018-03-02 08:02:15', 'price': 13.50::DOUBLE}])) AS t(id, name, phones, orders);
UPDATE spectrum.customers SET phones = ['123-4577891'] WHERE id = 1;
CREATE TABLE test_json (id INTEGER, json_strings VARCHAR);
INSERT INTO test_json VALUES (0, '{"a":2}'), (2, '{"a":{"b":{"c":1}}}'), (4, '{"a": [1,2,"b"]}'), (6, '{{}}'), (8, '{1:"a"}'), (10, '[1,2,3]');
CREATE TABLE test_json_arrays (id INTEGER, json_arrays VARCHAR);
INSERT INTO test_json_arrays VALUES (0, '[]'), (2, '["a","b"]'), (4, '["a",["b",1,["c",2,3,null]]]'), (6, '{"a":1}'), (8, 'a'), (10, '[1,2,]');
CREATE TABLE foo AS SELECT JSON '[[1.1, 1.2], [2.1, 2.2], [3.1, 3.2]]' AS multi_level_array;
CREATE TABLE region_nations AS SELECT 1::BIGINT AS r_regionkey, 'AFRICA' AS r_name, JSON '[{"n_nationkey": 0, "n_name": "ALGERIA"}, {"n_nationkey": 5, "n_name": "ETHIOPIA"}]' AS r_nations;
