SELECT count(*),
    count(*) FILTER (WHERE id IS NULL), count(*) FILTER (WHERE TRY_CAST(id AS BIGINT) IS NULL), count(*) FILTER (WHERE id < 0),
    count(*) FILTER (WHERE "at" IS NULL), count(*) FILTER (WHERE NOT isfinite("at")),
    count(*) FILTER (WHERE customer < 0), count(*) FILTER (WHERE customer > 99999), count(*) FILTER (WHERE TRY_CAST(customer AS BIGINT) IS NULL),
    count(*) FILTER (WHERE paid_by NOT IN ('card', 'cash', 'transfer')),
    count(*) FILTER (WHERE items < 1), count(*) FILTER (WHERE TRY_CAST(items AS BIGINT) IS NULL),
    count(*) FILTER (WHERE price < 0), count(*) FILTER (WHERE NOT isfinite(price)),
    count(*) FILTER (WHERE discount > 1), count(*) FILTER (WHERE NOT isfinite(discount)),
    count(*) FILTER (WHERE NOT regexp_full_match(code, 'C[0-9]{4}')),
    count(*) FILTER (WHERE NOT isfinite(latitude)),
    count(*) FILTER (WHERE longitude > 180), count(*) FILTER (WHERE NOT isfinite(longitude))
FROM read_parquet($file)
