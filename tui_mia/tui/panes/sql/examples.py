"""Queries to begin with."""

from __future__ import annotations

from typing import Final

EXAMPLES: Final[dict[str, str]] = {
    "the newest runs, with the AUC of each attack": """\
SELECT run_id, created_at, status, architecture, attack, value AS auc
FROM runs LEFT JOIN metrics USING (run_id)
WHERE metric = 'auc' OR metric IS NULL
ORDER BY created_at DESC, auc DESC""",
    "the candidates of the newest run that look most like members": """\
SELECT attack, score, p_value, q_value, member, caption
FROM scores JOIN samples USING (run_id, number)
WHERE run_id = (SELECT arg_max(run_id, created_at) FROM runs)
  AND pool = 'candidates' AND attack = 'csa'
ORDER BY score DESC
LIMIT 100""",
    "how many can be called members at a false discovery rate of 5 %": """\
SELECT run_id, attack, count(*) FILTER (q_value <= 0.05) AS called_members, count(*) AS candidates
FROM scores JOIN samples USING (run_id, number)
WHERE pool = 'candidates'
GROUP BY run_id, attack
ORDER BY run_id, attack""",
    "do the pools differ before any attack looks at them?": """\
SELECT run_id, pool, count(*) AS samples, avg(length(caption)) AS characters,
       median(width * height) AS pixels, avg(cosine) AS similarity
FROM samples JOIN similarities USING (run_id, number)
WHERE view = 0
GROUP BY run_id, pool
ORDER BY run_id, pool""",
    "what was left out, and why": """\
SELECT run_id, pool, reason, count(*) AS pairs
FROM rejects
GROUP BY run_id, pool, reason
ORDER BY pairs DESC""",
    "where the time of each run went": """\
SELECT run_id, key AS phase, value::DOUBLE AS seconds
FROM runs, json_each(seconds)
ORDER BY run_id, seconds DESC""",
}
