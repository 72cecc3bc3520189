-- One row for each person of an OMOP common data model (5.x): sex, age, the latest of three
-- measurements, and whether type 2 diabetes was ever diagnosed. Standard SQL, for SQLite and
-- PostgreSQL alike. Change the concepts to those of your question.
WITH latest AS (
    SELECT person_id, measurement_concept_id AS concept, value_as_number AS value,
           ROW_NUMBER() OVER (
               PARTITION BY person_id, measurement_concept_id
               ORDER BY measurement_date DESC, measurement_id DESC
           ) AS place
    FROM measurement
    WHERE measurement_concept_id IN (3004501, 3027018, 3004249) AND value_as_number IS NOT NULL
)
SELECT p.person_id AS "person id",
       CASE p.gender_concept_id WHEN 8507 THEN 'male' WHEN 8532 THEN 'female' END AS sex,
       2024 - p.year_of_birth AS age,
       MAX(CASE WHEN m.concept = 3004501 THEN m.value END) AS glucose,
       MAX(CASE WHEN m.concept = 3027018 THEN m.value END) AS heart_rate,
       MAX(CASE WHEN m.concept = 3004249 THEN m.value END) AS systolic_bp,
       CASE WHEN EXISTS (
           SELECT 1 FROM condition_occurrence c
           WHERE c.person_id = p.person_id AND c.condition_concept_id = 201826
       ) THEN 1 ELSE 0 END AS diabetes
FROM person p
LEFT JOIN latest m ON m.person_id = p.person_id AND m.place = 1
GROUP BY p.person_id, p.gender_concept_id, p.year_of_birth
ORDER BY p.person_id
