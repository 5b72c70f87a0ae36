-- The table that Trino's page on SELECT defines.
CREATE TABLE shipping AS SELECT * FROM (VALUES
  ('California', 94131, 'New Jersey', 8648, 13),
  ('California', 94131, 'New Jersey', 8540, 42),
  ('New Jersey', 7081, 'Connecticut', 6708, 225),
  ('California', 90210, 'Connecticut', 6927, 1337),
  ('California', 94131, 'Colorado', 80302, 5),
  ('New York', 10002, 'New Jersey', 8540, 3)) AS t(origin_state, origin_zip, destination_state, destination_zip, package_weight);
