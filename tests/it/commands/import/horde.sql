-- A database as an AI Horde server has it, as far as an import looks at it. Without its constraints, so that rows can
-- be in it that an honest server does not have.
CREATE TYPE userroletypes AS ENUM
    ('MODERATOR', 'TRUSTED', 'FLAGGED', 'CUSTOMIZER', 'VPN', 'SPECIAL', 'SERVICE', 'EDUCATION', 'DELETED');
CREATE TYPE userrecordtypes AS ENUM ('CONTRIBUTION', 'USAGE', 'FULFILLMENT', 'REQUEST', 'STYLE');

CREATE TABLE users (
    id BIGINT, username VARCHAR(50), oauth_id VARCHAR(50), api_key VARCHAR(100), client_id VARCHAR(50),
    created TIMESTAMP, last_active TIMESTAMP, contact VARCHAR(50), admin_comment TEXT, proxy_passkey VARCHAR(100),
    kudos NUMERIC, monthly_kudos INTEGER, monthly_kudos_last_received TIMESTAMP, evaluating_kudos INTEGER,
    usage_multiplier DOUBLE PRECISION, worker_invited INTEGER, public_workers BOOLEAN, concurrency INTEGER
);
CREATE TABLE user_roles (id SERIAL, user_id INTEGER, user_role userroletypes, value BOOLEAN);
CREATE TABLE user_stats (id SERIAL, user_id INTEGER, action VARCHAR(20), value BIGINT);
CREATE TABLE user_records
    (id SERIAL, user_id INTEGER, record_type userrecordtypes, record VARCHAR(30), value DOUBLE PRECISION);
CREATE TABLE user_suspicions (id SERIAL, user_id INTEGER, suspicion_id INTEGER);
CREATE TABLE user_sharedkeys (
    id UUID, user_id INTEGER, kudos BIGINT, created TIMESTAMP, expiry TIMESTAMP, name VARCHAR(255), utilized BIGINT,
    max_image_pixels INTEGER, max_image_steps INTEGER, max_text_tokens INTEGER
);
CREATE TABLE kudos_ledger
    (id BIGSERIAL, event_id UUID, entry_type VARCHAR(32), user_id INTEGER, escrow BOOLEAN, amount NUMERIC(20, 2), applied BOOLEAN);
CREATE TABLE kudos_stat_events
    (id BIGSERIAL, event_id UUID, entry_type VARCHAR(32), user_id INTEGER, amount NUMERIC(20, 2), unit VARCHAR(16), applied BOOLEAN);
CREATE TABLE teams (
    id UUID, info VARCHAR(1000), name VARCHAR(100), owner_id INTEGER, contributions BIGINT, fulfilments INTEGER,
    kudos BIGINT, uptime BIGINT, created TIMESTAMP, last_active TIMESTAMP
);
CREATE TABLE workers (
    id UUID, worker_type VARCHAR(30), user_id INTEGER, name TEXT, info VARCHAR(1000), ipaddr VARCHAR(39),
    created TIMESTAMP, last_check_in TIMESTAMP, kudos BIGINT, contributions BIGINT, fulfilments INTEGER,
    uncompleted_jobs INTEGER, uptime BIGINT, threads INTEGER, bridge_agent TEXT, max_power INTEGER, paused BOOLEAN,
    maintenance BOOLEAN, maintenance_msg VARCHAR(300), team_id UUID, nsfw BOOLEAN, max_pixels BIGINT,
    allow_img2img BOOLEAN, allow_painting BOOLEAN, allow_lora BOOLEAN, max_length INTEGER, max_context_length INTEGER
);
CREATE TABLE worker_models (id SERIAL, worker_id UUID, model VARCHAR(255));
CREATE TABLE worker_blacklists (id SERIAL, worker_id UUID, word VARCHAR(20));
CREATE TABLE worker_stats (id SERIAL, worker_id UUID, action VARCHAR(20), value BIGINT);
CREATE TABLE worker_performances (id SERIAL, worker_id UUID, performance DOUBLE PRECISION, created TIMESTAMP);
CREATE TABLE worker_suspicions (id SERIAL, worker_id UUID, suspicion_id INTEGER);
CREATE TABLE interrogation_worker_forms (id SERIAL, worker_id UUID, form VARCHAR(30));
CREATE TABLE styles (
    id UUID, style_type VARCHAR(30), info VARCHAR(1000), showcase VARCHAR(1000), name VARCHAR(100), public BOOLEAN,
    nsfw BOOLEAN, prompt TEXT, params JSONB, use_count INTEGER, votes INTEGER, created TIMESTAMP, updated TIMESTAMP,
    user_id INTEGER, sharedkey_id UUID
);
CREATE TABLE style_models (id SERIAL, style_id UUID, model VARCHAR(255));
CREATE TABLE style_tags (id SERIAL, style_id UUID, tag VARCHAR(255));
CREATE TABLE style_examples (id UUID, style_id UUID, url TEXT, "primary" BOOLEAN);
CREATE TABLE style_collections (
    id UUID, style_type VARCHAR(30), info VARCHAR(1000), name VARCHAR(100), use_count INTEGER, public BOOLEAN,
    created TIMESTAMP, updated TIMESTAMP, user_id INTEGER
);
CREATE TABLE style_collection_mapping (style_id UUID, collection_id UUID);

-- {KEY:name} stands for the hash that the server makes of a key.
INSERT INTO users (id, username, oauth_id, api_key, created, last_active, kudos, evaluating_kudos, monthly_kudos,
    usage_multiplier, worker_invited, public_workers, concurrency, contact, proxy_passkey) VALUES
    (0, 'Anonymous', 'anon', '{KEY:0000000000}', '2022-09-01', '2024-01-01', -20, 0, 0, 1, 0, true, 500, NULL, NULL),
    (1, 'operator', 'd_1', '{KEY:operator-key}', '2022-09-02', '2024-01-01', 1000, 0, 100, 1, 0, false, 30, NULL, 'passkey-of-one'),
    (7, 'Ada', 'g_77', '{KEY:ada-old-key}', '2022-10-01 12:00:00.5', '2024-01-01', 1234.5, 60, 0, 1, 4, true, 60, 'ada@example.org', NULL),
    (8, 'ben', '5f2b6f7e-9c1b-4f3e-8d0a-3f9d5c2b1a08', '{KEY:ben-old-key}', '2023-01-01', '2024-01-01', 3, 0, 0, 1, 0, false, 30, NULL, NULL),
    -- A name that is too long, says where it ends and has what nobody sees; concurrency beyond bounds; somebody
    -- else's passkey; more kudos than there are.
    (9, E'x#1\u0007 a very long name that goes on and on and on', 'gh_9', '{KEY:eve-old-key}', 'infinity', NULL, 9e30, -5, -7, 1e9, -3, false, 100000, NULL, 'passkey-of-one'),
    (10, '<wiped>', '<wiped>', '{KEY:gone-old-key}', '2023-01-01', '2023-01-01', 500, 0, 0, 1, 0, false, 30, 'tell nobody', NULL),
    (11, 'keyless', 'somebody', 'not a hash', '2023-01-01', '2023-01-01', 40, 0, 0, 1, 0, false, 30, NULL, NULL),
    (12, 'twin', 'g_77', '{KEY:ada-old-key}', '2023-01-02', '2023-01-01', 40, 0, 0, 1, 0, false, 30, NULL, NULL),
    (13, '', 'g_13', '{KEY:nameless-old-key}', '2023-01-02', '2023-01-01', NULL, 0, 0, 1, 0, false, 30, NULL, NULL),
    (-5, 'negative', 'g_5', '{KEY:negative}', '2023-01-01', '2023-01-01', 40, 0, 0, 1, 0, false, 30, NULL, NULL),
    (4000000000, 'far', 'g_6', '{KEY:far}', '2023-01-01', '2023-01-01', 40, 0, 0, 1, 0, false, 30, NULL, NULL),
    (NULL, 'nobody', 'g_7', '{KEY:nobody}', '2023-01-01', '2023-01-01', 40, 0, 0, 1, 0, false, 30, NULL, NULL);
UPDATE users SET admin_comment = repeat('x', 501) WHERE id = 9;
INSERT INTO user_roles (user_id, user_role, value) VALUES
    (1, 'MODERATOR', true), (7, 'TRUSTED', true), (7, 'CUSTOMIZER', true), (7, 'FLAGGED', false), (0, 'MODERATOR', true),
    (999, 'TRUSTED', true);
INSERT INTO user_stats (user_id, action, value) VALUES
    (7, 'accumulated', 900), (7, 'gifted', -100), (7, 'received', 300), (7, 'received', 34), (7, 'koboldai', 5), (9, 'gifted', 50);
INSERT INTO user_records (user_id, record_type, record, value) VALUES
    (7, 'USAGE', 'image', 12.5), (7, 'REQUEST', 'image', 3), (7, 'FULFILLMENT', 'text', 8), (7, 'CONTRIBUTION', 'text', 900),
    (7, 'STYLE', 'image', 2), (8, 'USAGE', 'image', -4), (8, 'REQUEST', 'text', 'NaN');
INSERT INTO user_suspicions (user_id, suspicion_id) VALUES (8, 0), (8, 5), (8, 5);
INSERT INTO kudos_ledger (user_id, escrow, amount, applied) VALUES (7, false, 10.25, false), (7, true, 5, false), (7, false, 1000, true);
INSERT INTO kudos_stat_events (user_id, amount, unit, applied) VALUES (7, 1, 'count', false), (8, 1, 'count', false), (7, 1, 'count', true);
INSERT INTO user_sharedkeys (id, user_id, kudos, created, expiry, name, utilized, max_image_pixels, max_image_steps, max_text_tokens) VALUES
    ('aaaaaaaa-0000-4000-8000-000000000001', 7, 500, '2023-01-01', NULL, 'friends', 20, -1, -1, 80),
    ('aaaaaaaa-0000-4000-8000-000000000002', 7, -1, '2023-01-01', '2023-02-01', NULL, 0, -5, -1, -1),
    ('aaaaaaaa-0000-4000-8000-000000000004', 7, -1, '2023-01-01', '-infinity', NULL, 0, -1, -1, -1),
    ('aaaaaaaa-0000-4000-8000-000000000003', 999, 500, '2023-01-01', NULL, NULL, 0, -1, -1, -1),
    ('aaaaaaaa-0000-4000-8000-000000000001', 8, -1, '2023-01-02', NULL, NULL, 0, -1, -1, -1),
    (NULL, 7, -1, '2023-01-02', NULL, NULL, 0, -1, -1, -1);
INSERT INTO teams (id, name, info, owner_id, fulfilments, kudos, uptime, created) VALUES
    ('bbbbbbbb-0000-4000-8000-000000000001', 'Painters &amp; co', 'we paint', 7, 12, 340, 5000, '2023-01-01'),
    ('bbbbbbbb-0000-4000-8000-000000000002', 'PAINTERS &amp; CO', NULL, 8, 1, 1, 1, '2023-01-02'),
    ('bbbbbbbb-0000-4000-8000-000000000003', 'of nobody', NULL, 999, 1, 1, 1, '2023-01-03'),
    ('bbbbbbbb-0000-4000-8000-000000000004', '   ', NULL, 8, 1, 1, 1, '2023-01-04');
INSERT INTO workers (id, worker_type, user_id, name, info, ipaddr, created, last_check_in, contributions, fulfilments,
    uncompleted_jobs, uptime, threads, bridge_agent, max_power, paused, maintenance, maintenance_msg, team_id, nsfw,
    max_pixels, allow_img2img, allow_painting, allow_lora, max_length, max_context_length) VALUES
    ('cccccccc-0000-4000-8000-000000000001', 'stable_worker', 7, 'Ada''s brush', 'draws', '203.0.113.9', '2023-01-01', '2024-01-01', 1500, 40, 2, 86400, 2,
        'AI Horde Worker reGen:13:x', 8, false, true, 'back soon', 'bbbbbbbb-0000-4000-8000-000000000001', true, 4194304, true, true, true, NULL, NULL),
    ('cccccccc-0000-4000-8000-000000000002', 'text_worker', 7, 'Ada''s pen', NULL, 'nonsense', '2023-01-02', '2099-01-01', -9, -1, 0, 10, 0,
        NULL, 8, NULL, false, NULL, 'bbbbbbbb-0000-4000-8000-000000000003', false, NULL, NULL, NULL, NULL, 512, 4096),
    ('cccccccc-0000-4000-8000-000000000003', 'interrogation_worker', 7, 'Ada''s eye', NULL, NULL, '2023-01-03', NULL, 0, 7, 0, 10, 1,
        'alchemist:1:x', 16, false, false, NULL, NULL, false, NULL, NULL, NULL, NULL, NULL, NULL),
    ('cccccccc-0000-4000-8000-000000000004', 'stable_worker', 999, 'orphan', NULL, NULL, '2023-01-04', NULL, 0, 0, 0, 0, 1, NULL, 8, false, false, NULL, NULL, false, 1, false, false, false, NULL, NULL),
    ('cccccccc-0000-4000-8000-000000000005', 'stable_worker', NULL, 'stray', NULL, NULL, '2023-01-04', NULL, 0, 0, 0, 0, 1, NULL, 8, false, false, NULL, NULL, false, 1, false, false, false, NULL, NULL),
    ('cccccccc-0000-4000-8000-000000000006', 'stable_worker', 8, 'Ada''s brush', NULL, NULL, '2023-01-05', NULL, 0, 0, 0, 0, 1, NULL, 8, false, false, NULL, NULL, false, 1, false, false, false, NULL, NULL),
    ('cccccccc-0000-4000-8000-000000000007', 'worker_template', 7, 'abstract', NULL, NULL, '2023-01-05', NULL, 0, 0, 0, 0, 1, NULL, 8, false, false, NULL, NULL, false, 1, false, false, false, NULL, NULL),
    ('cccccccc-0000-4000-8000-000000000008', 'stable_worker', 7, repeat('n', 101), NULL, NULL, '2023-01-05', NULL, 0, 0, 0, 0, 1, NULL, 8, false, false, NULL, NULL, false, 1, false, false, false, NULL, NULL),
    ('cccccccc-0000-4000-8000-000000000009', 'stable_worker', 10, 'of who is gone', NULL, NULL, '2023-01-05', NULL, 0, 0, 0, 0, 1, NULL, 8, false, false, NULL, NULL, false, 1, false, false, false, NULL, NULL);
INSERT INTO worker_models (worker_id, model) VALUES
    ('cccccccc-0000-4000-8000-000000000001', 'stable_diffusion'), ('cccccccc-0000-4000-8000-000000000001', 'stable_diffusion'),
    ('cccccccc-0000-4000-8000-000000000001', ''), ('cccccccc-0000-4000-8000-000000000002', 'any-model');
INSERT INTO worker_blacklists (worker_id, word) VALUES ('cccccccc-0000-4000-8000-000000000001', 'Spiders');
INSERT INTO worker_stats (worker_id, action, value) VALUES
    ('cccccccc-0000-4000-8000-000000000001', 'generated', 700), ('cccccccc-0000-4000-8000-000000000001', 'uptime', 80);
INSERT INTO worker_performances (worker_id, performance) SELECT 'cccccccc-0000-4000-8000-000000000001', 900000 + n FROM generate_series(1, 25) AS n;
INSERT INTO worker_performances (worker_id, performance) VALUES
    ('cccccccc-0000-4000-8000-000000000003', 2), ('cccccccc-0000-4000-8000-000000000003', 'Infinity'), ('cccccccc-0000-4000-8000-000000000003', -1);
INSERT INTO worker_suspicions (worker_id, suspicion_id) VALUES ('cccccccc-0000-4000-8000-000000000001', 5);
INSERT INTO interrogation_worker_forms (worker_id, form) VALUES ('cccccccc-0000-4000-8000-000000000003', 'caption');
INSERT INTO styles (id, style_type, name, info, prompt, params, public, nsfw, use_count, created, updated, user_id, sharedkey_id) VALUES
    ('dddddddd-0000-4000-8000-000000000001', 'image', 'oil &amp; water', 'as the old masters', '{p}, oil on canvas{np}', '{"steps": 22, "cfg_scale": 6.5}', true, false, 41, '2023-01-01', '2023-01-02', 7, NULL),
    ('dddddddd-0000-4000-8000-000000000002', 'text', 'pirate', 'as pirates talk, hard', 'Ahoy: {p}', '{"temperature": 1.1}', true, false, 5, '2023-01-02', '2023-01-02', 7, 'aaaaaaaa-0000-4000-8000-000000000003'),
    ('dddddddd-0000-4000-8000-000000000003', 'image', 'no place', NULL, 'nothing stands for what is asked', '{}', true, false, 5, '2023-01-03', '2023-01-02', 7, NULL),
    ('dddddddd-0000-4000-8000-000000000004', 'image', 'odd steps', NULL, '{p}{np}', '{"steps": -4}', true, false, 5, '2023-01-04', '2023-01-02', 7, NULL),
    ('dddddddd-0000-4000-8000-000000000005', 'image', 'no object', NULL, '{p}{np}', '[1]', true, false, 5, '2023-01-05', '2023-01-02', 7, NULL),
    ('dddddddd-0000-4000-8000-000000000006', 'image', 'oil &amp; water', NULL, '{p}{np}', '{}', true, false, 5, '2023-01-06', '2023-01-02', 7, NULL),
    ('dddddddd-0000-4000-8000-000000000007', 'image', 'of nobody', NULL, '{p}{np}', '{}', true, false, 5, '2023-01-07', '2023-01-02', 999, NULL),
    ('dddddddd-0000-4000-8000-000000000008', 'music', 'unheard', NULL, '{p}{np}', '{}', true, false, 5, '2023-01-08', '2023-01-02', 7, NULL),
    ('dddddddd-0000-4000-8000-000000000009', 'image', 'no models', NULL, '{p}{np}', '{}', true, false, 5, '2023-01-09', '2023-01-02', 7, NULL);
INSERT INTO style_models (style_id, model)
    SELECT id, CASE style_type WHEN 'image' THEN 'stable_diffusion' ELSE 'any-model' END FROM styles WHERE name <> 'no models';
INSERT INTO style_tags (style_id, tag) SELECT 'dddddddd-0000-4000-8000-000000000001', 'tag ' || n FROM generate_series(1, 12) AS n;
INSERT INTO style_examples (id, style_id, url, "primary") VALUES
    ('eeeeeeee-0000-4000-8000-000000000001', 'dddddddd-0000-4000-8000-000000000001', 'https://example.org/a.webp', true),
    ('eeeeeeee-0000-4000-8000-000000000002', 'dddddddd-0000-4000-8000-000000000001', 'javascript:alert(1)', false);
INSERT INTO style_collections (id, style_type, name, info, public, use_count, created, updated, user_id) VALUES
    ('ffffffff-0000-4000-8000-000000000001', 'image', 'paints', 'all of them', true, 3, '2023-01-01', '2023-01-01', 8),
    ('ffffffff-0000-4000-8000-000000000002', 'image', 'empty', NULL, true, 3, '2023-01-02', '2023-01-01', 8),
    ('ffffffff-0000-4000-8000-000000000003', 'image', 'paints', NULL, true, 3, '2023-01-03', '2023-01-01', 8);
INSERT INTO style_collection_mapping (style_id, collection_id) VALUES
    ('dddddddd-0000-4000-8000-000000000001', 'ffffffff-0000-4000-8000-000000000001'),
    ('dddddddd-0000-4000-8000-000000000002', 'ffffffff-0000-4000-8000-000000000001'),
    ('dddddddd-0000-4000-8000-000000000003', 'ffffffff-0000-4000-8000-000000000001'),
    ('dddddddd-0000-4000-8000-000000000001', 'ffffffff-0000-4000-8000-000000000003'),
    ('dddddddd-0000-4000-8000-000000000007', 'ffffffff-0000-4000-8000-000000000002');
