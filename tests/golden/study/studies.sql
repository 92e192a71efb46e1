BEGIN TRANSACTION;
CREATE TABLE alembic_version (
	version_num VARCHAR(32) NOT NULL, 
	CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num)
);
INSERT INTO "alembic_version" VALUES('v3.2.0.a');
CREATE TABLE studies (
	study_id INTEGER NOT NULL, 
	study_name VARCHAR(512) NOT NULL, 
	PRIMARY KEY (study_id)
);
INSERT INTO "studies" VALUES(1,'tiny-1.5ms-c5ad7c');
CREATE TABLE study_directions (
	study_direction_id INTEGER NOT NULL, 
	direction VARCHAR(8) NOT NULL, 
	study_id INTEGER NOT NULL, 
	objective INTEGER NOT NULL, 
	PRIMARY KEY (study_direction_id), 
	UNIQUE (study_id, objective), 
	FOREIGN KEY(study_id) REFERENCES studies (study_id)
);
INSERT INTO "study_directions" VALUES(1,'MAXIMIZE',1,0);
INSERT INTO "study_directions" VALUES(2,'MINIMIZE',1,1);
CREATE TABLE study_system_attributes (
	study_system_attribute_id INTEGER NOT NULL, 
	study_id INTEGER, 
	"key" VARCHAR(512), 
	value_json TEXT, 
	PRIMARY KEY (study_system_attribute_id), 
	UNIQUE (study_id, "key"), 
	FOREIGN KEY(study_id) REFERENCES studies (study_id)
);
INSERT INTO "study_system_attributes" VALUES(1,1,'study:metric_names','["gain_db", "log_runtime_ms"]');
CREATE TABLE study_user_attributes (
	study_user_attribute_id INTEGER NOT NULL, 
	study_id INTEGER, 
	"key" VARCHAR(512), 
	value_json TEXT, 
	PRIMARY KEY (study_user_attribute_id), 
	UNIQUE (study_id, "key"), 
	FOREIGN KEY(study_id) REFERENCES studies (study_id)
);
INSERT INTO "study_user_attributes" VALUES(1,1,'identity','{"space": {"name": "tiny", "dimensions": {"stem": ["conv", "unshuffle2"], "width": [8, 12, 16, 24], "depth": [0, 1, 2, 3], "block": ["conv", "ecb"], "activation": ["relu", "gelu"], "residual": ["none", "bicubic", "lanczos"]}}, "budget": {"runtime_ms": 1.5, "macs": 5000000000.0, "params": 24000.0, "memory_mb": 105.87, "colour_loss_db": 1.0, "least_ms": 0.4}, "seed": 3, "target": {"name": "rtx4090", "note": "no CUDA device here, so predicted for rtx4090 from the 17 runtimes of Table 1 of the AIS 2024 survey, leave-one-out error 12%"}, "data": {"name": "set", "digest": "f11782abab7f0ef13c053d9adfc96e5f777af28e0f3222bfa6fe0f28c7a111d9"}, "teacher": null, "proxy": {"steps": 6, "batch": 4, "patch": 48, "lr": 0.05, "adam_lr": 0.001, "warmup": 0.1, "clip": 1.0, "ema": 0.98, "distil_weight": 0.1, "luma_weight": 0.8, "grey": 0.25, "seed": 3, "version": 3}}');
INSERT INTO "study_user_attributes" VALUES(2,1,'runs','[{"time": "2026-01-01T00:00:00+00:00", "python": "3.11.7", "packages": {"nas-workbench": "0.1.0", "torch": "2.13.0+cpu", "numpy": "2.4.6", "pillow": "13.0.0", "optuna": "5.0.0", "ray": "2.60.0", "mlflow": "3.17.2"}, "git": null, "machine": "Linux x86_64", "sources": {"data": "set", "teacher": null, "plugins": [], "tracking_uri": null}, "teacher_gain_db": null}, {"time": "2026-01-01T00:01:00+00:00", "python": "3.11.7", "packages": {"nas-workbench": "0.1.0", "torch": "2.13.0+cpu", "numpy": "2.4.6", "pillow": "13.0.0", "optuna": "5.0.0", "ray": "2.60.0", "mlflow": "3.17.2"}, "git": null, "machine": "Linux x86_64", "sources": {"data": "set", "teacher": null, "plugins": [], "tracking_uri": null}, "teacher_gain_db": null}, {"time": "2026-01-01T00:02:00+00:00", "python": "3.11.7", "packages": {"nas-workbench": "0.1.0", "torch": "2.13.0+cpu", "numpy": "2.4.6", "pillow": "13.0.0", "optuna": "5.0.0", "ray": "2.60.0", "mlflow": "3.17.2"}, "git": null, "machine": "Linux x86_64", "sources": {"data": "set", "teacher": null, "plugins": [], "tracking_uri": null}, "teacher_gain_db": null}, {"time": "2026-01-01T00:03:00+00:00", "python": "3.11.7", "packages": {"nas-workbench": "0.1.0", "torch": "2.13.0+cpu", "numpy": "2.4.6", "pillow": "13.0.0", "optuna": "5.0.0", "ray": "2.60.0", "mlflow": "3.17.2"}, "git": null, "machine": "Linux x86_64", "sources": {"data": "set", "teacher": null, "plugins": [], "tracking_uri": null}, "teacher_gain_db": null}, {"time": "2026-01-01T00:04:00+00:00", "python": "3.11.7", "packages": {"nas-workbench": "0.1.0", "torch": "2.13.0+cpu", "numpy": "2.4.6", "pillow": "13.0.0", "optuna": "5.0.0", "ray": "2.60.0", "mlflow": "3.17.2"}, "git": null, "machine": "Linux x86_64", "sources": {"data": "set", "teacher": null, "plugins": [], "tracking_uri": null}, "teacher_gain_db": null}, {"time": "2026-01-01T00:05:00+00:00", "python": "3.11.7", "packages": {"nas-workbench": "0.1.0", "torch": "2.13.0+cpu", "numpy": "2.4.6", "pillow": "13.0.0", "optuna": "5.0.0", "ray": "2.60.0", "mlflow": "3.17.2"}, "git": null, "machine": "Linux x86_64", "sources": {"data": "set", "teacher": null, "plugins": [], "tracking_uri": null}, "teacher_gain_db": null}, {"time": "2026-01-01T00:06:00+00:00", "python": "3.11.7", "packages": {"nas-workbench": "0.1.0", "torch": "2.13.0+cpu", "numpy": "2.4.6", "pillow": "13.0.0", "optuna": "5.0.0", "ray": "2.60.0", "mlflow": "3.17.2"}, "git": null, "machine": "Linux x86_64", "sources": {"data": "set", "teacher": null, "plugins": [], "tracking_uri": null}, "teacher_gain_db": null}, {"time": "2026-01-01T00:07:00+00:00", "python": "3.11.7", "packages": {"nas-workbench": "0.1.0", "torch": "2.13.0+cpu", "numpy": "2.4.6", "pillow": "13.0.0", "optuna": "5.0.0", "ray": "2.60.0", "mlflow": "3.17.2"}, "git": null, "machine": "Linux x86_64", "sources": {"data": "set", "teacher": null, "plugins": [], "tracking_uri": null}, "teacher_gain_db": null}, {"time": "2026-01-01T00:08:00+00:00", "python": "3.11.7", "packages": {"nas-workbench": "0.1.0", "torch": "2.13.0+cpu", "numpy": "2.4.6", "pillow": "13.0.0", "optuna": "5.0.0", "ray": "2.60.0", "mlflow": "3.17.2"}, "git": null, "machine": "Linux x86_64", "sources": {"data": "set", "teacher": null, "plugins": [], "tracking_uri": null}, "teacher_gain_db": null}, {"time": "2026-01-01T00:09:00+00:00", "python": "3.11.7", "packages": {"nas-workbench": "0.1.0", "torch": "2.13.0+cpu", "numpy": "2.4.6", "pillow": "13.0.0", "optuna": "5.0.0", "ray": "2.60.0", "mlflow": "3.17.2"}, "git": null, "machine": "Linux x86_64", "sources": {"data": "set", "teacher": null, "plugins": [], "tracking_uri": null}, "teacher_gain_db": null}, {"time": "2026-01-01T00:10:00+00:00", "python": "3.11.7", "packages": {"nas-workbench": "0.1.0", "torch": "2.13.0+cpu", "numpy": "2.4.6", "pillow": "13.0.0", "optuna": "5.0.0", "ray": "2.60.0", "mlflow": "3.17.2"}, "git": null, "machine": "Linux x86_64", "sources": {"data": "set", "teacher": null, "plugins": [], "tracking_uri": null}, "teacher_gain_db": null}, {"time": "2026-01-01T00:11:00+00:00", "python": "3.11.7", "packages": {"nas-workbench": "0.1.0", "torch": "2.13.0+cpu", "numpy": "2.4.6", "pillow": "13.0.0", "optuna": "5.0.0", "ray": "2.60.0", "mlflow": "3.17.2"}, "git": null, "machine": "Linux x86_64", "sources": {"data": "set", "teacher": null, "plugins": [], "tracking_uri": null}, "teacher_gain_db": null}, {"time": "2026-01-01T00:12:00+00:00", "python": "3.11.7", "packages": {"nas-workbench": "0.1.0", "torch": "2.13.0+cpu", "numpy": "2.4.6", "pillow": "13.0.0", "optuna": "5.0.0", "ray": "2.60.0", "mlflow": "3.17.2"}, "git": null, "machine": "Linux x86_64", "sources": {"data": "set", "teacher": null, "plugins": [], "tracking_uri": null}, "teacher_gain_db": null}, {"time": "2026-01-01T00:13:00+00:00", "python": "3.11.7", "packages": {"nas-workbench": "0.1.0", "torch": "2.13.0+cpu", "numpy": "2.4.6", "pillow": "13.0.0", "optuna": "5.0.0", "ray": "2.60.0", "mlflow": "3.17.2"}, "git": null, "machine": "Linux x86_64", "sources": {"data": "set", "teacher": null, "plugins": [], "tracking_uri": null}, "teacher_gain_db": null}]');
INSERT INTO "study_user_attributes" VALUES(3,1,'repeating:0:1','"c6379b6ddf48"');
INSERT INTO "study_user_attributes" VALUES(4,1,'repeat:0:1','0.0703125');
INSERT INTO "study_user_attributes" VALUES(5,1,'repeating:1:1','"c6379b6ddf48"');
INSERT INTO "study_user_attributes" VALUES(6,1,'repeat:1:1','0.2421875');
INSERT INTO "study_user_attributes" VALUES(7,1,'repeating:2:1','"c6379b6ddf48"');
INSERT INTO "study_user_attributes" VALUES(8,1,'repeat:2:1','0.390625');
INSERT INTO "study_user_attributes" VALUES(9,1,'repeating:3:1','"c6379b6ddf48"');
INSERT INTO "study_user_attributes" VALUES(10,1,'repeat:3:1','0.1953125');
INSERT INTO "study_user_attributes" VALUES(11,1,'repeating:3:2','"c6379b6ddf48"');
INSERT INTO "study_user_attributes" VALUES(12,1,'repeat:3:2','null');
INSERT INTO "study_user_attributes" VALUES(13,1,'repeating:2:2','"b0204095a1e3"');
CREATE TABLE trial_heartbeats (
	trial_heartbeat_id INTEGER NOT NULL, 
	trial_id INTEGER NOT NULL, 
	heartbeat DATETIME NOT NULL, 
	PRIMARY KEY (trial_heartbeat_id), 
	UNIQUE (trial_id), 
	FOREIGN KEY(trial_id) REFERENCES trials (trial_id)
);
CREATE TABLE trial_intermediate_values (
	trial_intermediate_value_id INTEGER NOT NULL, 
	trial_id INTEGER NOT NULL, 
	step INTEGER NOT NULL, 
	intermediate_value FLOAT, 
	intermediate_value_type VARCHAR(7) NOT NULL, 
	PRIMARY KEY (trial_intermediate_value_id), 
	UNIQUE (trial_id, step), 
	FOREIGN KEY(trial_id) REFERENCES trials (trial_id)
);
CREATE TABLE trial_params (
	param_id INTEGER NOT NULL, 
	trial_id INTEGER, 
	param_name VARCHAR(512), 
	param_value FLOAT, 
	distribution_json TEXT, 
	PRIMARY KEY (param_id), 
	UNIQUE (trial_id, param_name), 
	FOREIGN KEY(trial_id) REFERENCES trials (trial_id)
);
INSERT INTO "trial_params" VALUES(1,1,'stem',0.0,'{"name": "CategoricalDistribution", "attributes": {"choices": ["conv", "unshuffle2"]}}');
INSERT INTO "trial_params" VALUES(2,1,'width',0.0,'{"name": "CategoricalDistribution", "attributes": {"choices": [8, 12, 16, 24]}}');
INSERT INTO "trial_params" VALUES(3,1,'depth',0.0,'{"name": "IntDistribution", "attributes": {"log": false, "step": 1, "low": 0, "high": 3}}');
INSERT INTO "trial_params" VALUES(4,1,'block',0.0,'{"name": "CategoricalDistribution", "attributes": {"choices": ["conv", "ecb"]}}');
INSERT INTO "trial_params" VALUES(5,1,'activation',0.0,'{"name": "CategoricalDistribution", "attributes": {"choices": ["relu", "gelu"]}}');
INSERT INTO "trial_params" VALUES(6,1,'residual',2.0,'{"name": "CategoricalDistribution", "attributes": {"choices": ["none", "bicubic", "lanczos"]}}');
INSERT INTO "trial_params" VALUES(7,2,'stem',0.0,'{"name": "CategoricalDistribution", "attributes": {"choices": ["conv", "unshuffle2"]}}');
INSERT INTO "trial_params" VALUES(8,2,'width',0.0,'{"name": "CategoricalDistribution", "attributes": {"choices": [8, 12, 16, 24]}}');
INSERT INTO "trial_params" VALUES(9,2,'depth',1.0,'{"name": "IntDistribution", "attributes": {"log": false, "step": 1, "low": 0, "high": 3}}');
INSERT INTO "trial_params" VALUES(10,2,'block',0.0,'{"name": "CategoricalDistribution", "attributes": {"choices": ["conv", "ecb"]}}');
INSERT INTO "trial_params" VALUES(11,2,'activation',0.0,'{"name": "CategoricalDistribution", "attributes": {"choices": ["relu", "gelu"]}}');
INSERT INTO "trial_params" VALUES(12,2,'residual',2.0,'{"name": "CategoricalDistribution", "attributes": {"choices": ["none", "bicubic", "lanczos"]}}');
INSERT INTO "trial_params" VALUES(13,3,'stem',0.0,'{"name": "CategoricalDistribution", "attributes": {"choices": ["conv", "unshuffle2"]}}');
INSERT INTO "trial_params" VALUES(14,3,'width',0.0,'{"name": "CategoricalDistribution", "attributes": {"choices": [8, 12, 16, 24]}}');
INSERT INTO "trial_params" VALUES(15,3,'depth',2.0,'{"name": "IntDistribution", "attributes": {"log": false, "step": 1, "low": 0, "high": 3}}');
INSERT INTO "trial_params" VALUES(16,3,'block',1.0,'{"name": "CategoricalDistribution", "attributes": {"choices": ["conv", "ecb"]}}');
INSERT INTO "trial_params" VALUES(17,3,'activation',0.0,'{"name": "CategoricalDistribution", "attributes": {"choices": ["relu", "gelu"]}}');
INSERT INTO "trial_params" VALUES(18,3,'residual',2.0,'{"name": "CategoricalDistribution", "attributes": {"choices": ["none", "bicubic", "lanczos"]}}');
INSERT INTO "trial_params" VALUES(19,4,'stem',0.0,'{"name": "CategoricalDistribution", "attributes": {"choices": ["conv", "unshuffle2"]}}');
INSERT INTO "trial_params" VALUES(20,4,'width',0.0,'{"name": "CategoricalDistribution", "attributes": {"choices": [8, 12, 16, 24]}}');
INSERT INTO "trial_params" VALUES(21,4,'depth',1.0,'{"name": "IntDistribution", "attributes": {"log": false, "step": 1, "low": 0, "high": 3}}');
INSERT INTO "trial_params" VALUES(22,4,'block',0.0,'{"name": "CategoricalDistribution", "attributes": {"choices": ["conv", "ecb"]}}');
INSERT INTO "trial_params" VALUES(23,4,'activation',1.0,'{"name": "CategoricalDistribution", "attributes": {"choices": ["relu", "gelu"]}}');
INSERT INTO "trial_params" VALUES(24,4,'residual',2.0,'{"name": "CategoricalDistribution", "attributes": {"choices": ["none", "bicubic", "lanczos"]}}');
INSERT INTO "trial_params" VALUES(25,5,'stem',0.0,'{"name": "CategoricalDistribution", "attributes": {"choices": ["conv", "unshuffle2"]}}');
INSERT INTO "trial_params" VALUES(26,5,'width',0.0,'{"name": "CategoricalDistribution", "attributes": {"choices": [8, 12, 16, 24]}}');
INSERT INTO "trial_params" VALUES(27,5,'depth',1.0,'{"name": "IntDistribution", "attributes": {"log": false, "step": 1, "low": 0, "high": 3}}');
INSERT INTO "trial_params" VALUES(28,5,'block',0.0,'{"name": "CategoricalDistribution", "attributes": {"choices": ["conv", "ecb"]}}');
INSERT INTO "trial_params" VALUES(29,5,'activation',0.0,'{"name": "CategoricalDistribution", "attributes": {"choices": ["relu", "gelu"]}}');
INSERT INTO "trial_params" VALUES(30,5,'residual',0.0,'{"name": "CategoricalDistribution", "attributes": {"choices": ["none", "bicubic", "lanczos"]}}');
INSERT INTO "trial_params" VALUES(31,6,'stem',0.0,'{"name": "CategoricalDistribution", "attributes": {"choices": ["conv", "unshuffle2"]}}');
INSERT INTO "trial_params" VALUES(32,6,'width',0.0,'{"name": "CategoricalDistribution", "attributes": {"choices": [8, 12, 16, 24]}}');
INSERT INTO "trial_params" VALUES(33,6,'depth',1.0,'{"name": "IntDistribution", "attributes": {"log": false, "step": 1, "low": 0, "high": 3}}');
INSERT INTO "trial_params" VALUES(34,6,'block',0.0,'{"name": "CategoricalDistribution", "attributes": {"choices": ["conv", "ecb"]}}');
INSERT INTO "trial_params" VALUES(35,6,'activation',0.0,'{"name": "CategoricalDistribution", "attributes": {"choices": ["relu", "gelu"]}}');
INSERT INTO "trial_params" VALUES(36,6,'residual',1.0,'{"name": "CategoricalDistribution", "attributes": {"choices": ["none", "bicubic", "lanczos"]}}');
INSERT INTO "trial_params" VALUES(37,7,'stem',0.0,'{"name": "CategoricalDistribution", "attributes": {"choices": ["conv", "unshuffle2"]}}');
INSERT INTO "trial_params" VALUES(38,7,'width',1.0,'{"name": "CategoricalDistribution", "attributes": {"choices": [8, 12, 16, 24]}}');
INSERT INTO "trial_params" VALUES(39,7,'depth',3.0,'{"name": "IntDistribution", "attributes": {"log": false, "step": 1, "low": 0, "high": 3}}');
INSERT INTO "trial_params" VALUES(40,7,'block',0.0,'{"name": "CategoricalDistribution", "attributes": {"choices": ["conv", "ecb"]}}');
INSERT INTO "trial_params" VALUES(41,7,'activation',1.0,'{"name": "CategoricalDistribution", "attributes": {"choices": ["relu", "gelu"]}}');
INSERT INTO "trial_params" VALUES(42,7,'residual',2.0,'{"name": "CategoricalDistribution", "attributes": {"choices": ["none", "bicubic", "lanczos"]}}');
INSERT INTO "trial_params" VALUES(43,8,'stem',0.0,'{"name": "CategoricalDistribution", "attributes": {"choices": ["conv", "unshuffle2"]}}');
INSERT INTO "trial_params" VALUES(44,8,'width',2.0,'{"name": "CategoricalDistribution", "attributes": {"choices": [8, 12, 16, 24]}}');
INSERT INTO "trial_params" VALUES(45,8,'depth',1.0,'{"name": "IntDistribution", "attributes": {"log": false, "step": 1, "low": 0, "high": 3}}');
INSERT INTO "trial_params" VALUES(46,8,'block',0.0,'{"name": "CategoricalDistribution", "attributes": {"choices": ["conv", "ecb"]}}');
INSERT INTO "trial_params" VALUES(47,8,'activation',1.0,'{"name": "CategoricalDistribution", "attributes": {"choices": ["relu", "gelu"]}}');
INSERT INTO "trial_params" VALUES(48,8,'residual',2.0,'{"name": "CategoricalDistribution", "attributes": {"choices": ["none", "bicubic", "lanczos"]}}');
INSERT INTO "trial_params" VALUES(49,9,'stem',1.0,'{"name": "CategoricalDistribution", "attributes": {"choices": ["conv", "unshuffle2"]}}');
INSERT INTO "trial_params" VALUES(50,9,'width',1.0,'{"name": "CategoricalDistribution", "attributes": {"choices": [8, 12, 16, 24]}}');
INSERT INTO "trial_params" VALUES(51,9,'depth',0.0,'{"name": "IntDistribution", "attributes": {"log": false, "step": 1, "low": 0, "high": 3}}');
INSERT INTO "trial_params" VALUES(52,9,'block',0.0,'{"name": "CategoricalDistribution", "attributes": {"choices": ["conv", "ecb"]}}');
INSERT INTO "trial_params" VALUES(53,9,'activation',1.0,'{"name": "CategoricalDistribution", "attributes": {"choices": ["relu", "gelu"]}}');
INSERT INTO "trial_params" VALUES(54,9,'residual',2.0,'{"name": "CategoricalDistribution", "attributes": {"choices": ["none", "bicubic", "lanczos"]}}');
INSERT INTO "trial_params" VALUES(55,10,'stem',1.0,'{"name": "CategoricalDistribution", "attributes": {"choices": ["conv", "unshuffle2"]}}');
INSERT INTO "trial_params" VALUES(56,10,'width',1.0,'{"name": "CategoricalDistribution", "attributes": {"choices": [8, 12, 16, 24]}}');
INSERT INTO "trial_params" VALUES(57,10,'depth',2.0,'{"name": "IntDistribution", "attributes": {"log": false, "step": 1, "low": 0, "high": 3}}');
INSERT INTO "trial_params" VALUES(58,10,'block',0.0,'{"name": "CategoricalDistribution", "attributes": {"choices": ["conv", "ecb"]}}');
INSERT INTO "trial_params" VALUES(59,10,'activation',1.0,'{"name": "CategoricalDistribution", "attributes": {"choices": ["relu", "gelu"]}}');
INSERT INTO "trial_params" VALUES(60,10,'residual',2.0,'{"name": "CategoricalDistribution", "attributes": {"choices": ["none", "bicubic", "lanczos"]}}');
INSERT INTO "trial_params" VALUES(61,11,'stem',0.0,'{"name": "CategoricalDistribution", "attributes": {"choices": ["conv", "unshuffle2"]}}');
INSERT INTO "trial_params" VALUES(62,11,'width',0.0,'{"name": "CategoricalDistribution", "attributes": {"choices": [8, 12, 16, 24]}}');
INSERT INTO "trial_params" VALUES(63,11,'depth',2.0,'{"name": "IntDistribution", "attributes": {"log": false, "step": 1, "low": 0, "high": 3}}');
INSERT INTO "trial_params" VALUES(64,11,'block',0.0,'{"name": "CategoricalDistribution", "attributes": {"choices": ["conv", "ecb"]}}');
INSERT INTO "trial_params" VALUES(65,11,'activation',1.0,'{"name": "CategoricalDistribution", "attributes": {"choices": ["relu", "gelu"]}}');
INSERT INTO "trial_params" VALUES(66,11,'residual',2.0,'{"name": "CategoricalDistribution", "attributes": {"choices": ["none", "bicubic", "lanczos"]}}');
INSERT INTO "trial_params" VALUES(67,12,'stem',0.0,'{"name": "CategoricalDistribution", "attributes": {"choices": ["conv", "unshuffle2"]}}');
INSERT INTO "trial_params" VALUES(68,12,'width',0.0,'{"name": "CategoricalDistribution", "attributes": {"choices": [8, 12, 16, 24]}}');
INSERT INTO "trial_params" VALUES(69,12,'depth',2.0,'{"name": "IntDistribution", "attributes": {"log": false, "step": 1, "low": 0, "high": 3}}');
INSERT INTO "trial_params" VALUES(70,12,'block',0.0,'{"name": "CategoricalDistribution", "attributes": {"choices": ["conv", "ecb"]}}');
INSERT INTO "trial_params" VALUES(71,12,'activation',0.0,'{"name": "CategoricalDistribution", "attributes": {"choices": ["relu", "gelu"]}}');
INSERT INTO "trial_params" VALUES(72,12,'residual',0.0,'{"name": "CategoricalDistribution", "attributes": {"choices": ["none", "bicubic", "lanczos"]}}');
INSERT INTO "trial_params" VALUES(73,13,'stem',0.0,'{"name": "CategoricalDistribution", "attributes": {"choices": ["conv", "unshuffle2"]}}');
INSERT INTO "trial_params" VALUES(74,13,'width',0.0,'{"name": "CategoricalDistribution", "attributes": {"choices": [8, 12, 16, 24]}}');
INSERT INTO "trial_params" VALUES(75,13,'depth',3.0,'{"name": "IntDistribution", "attributes": {"log": false, "step": 1, "low": 0, "high": 3}}');
INSERT INTO "trial_params" VALUES(76,13,'block',0.0,'{"name": "CategoricalDistribution", "attributes": {"choices": ["conv", "ecb"]}}');
INSERT INTO "trial_params" VALUES(77,13,'activation',0.0,'{"name": "CategoricalDistribution", "attributes": {"choices": ["relu", "gelu"]}}');
INSERT INTO "trial_params" VALUES(78,13,'residual',0.0,'{"name": "CategoricalDistribution", "attributes": {"choices": ["none", "bicubic", "lanczos"]}}');
INSERT INTO "trial_params" VALUES(79,14,'stem',0.0,'{"name": "CategoricalDistribution", "attributes": {"choices": ["conv", "unshuffle2"]}}');
INSERT INTO "trial_params" VALUES(80,14,'width',0.0,'{"name": "CategoricalDistribution", "attributes": {"choices": [8, 12, 16, 24]}}');
INSERT INTO "trial_params" VALUES(81,14,'depth',3.0,'{"name": "IntDistribution", "attributes": {"log": false, "step": 1, "low": 0, "high": 3}}');
INSERT INTO "trial_params" VALUES(82,14,'block',0.0,'{"name": "CategoricalDistribution", "attributes": {"choices": ["conv", "ecb"]}}');
INSERT INTO "trial_params" VALUES(83,14,'activation',0.0,'{"name": "CategoricalDistribution", "attributes": {"choices": ["relu", "gelu"]}}');
INSERT INTO "trial_params" VALUES(84,14,'residual',1.0,'{"name": "CategoricalDistribution", "attributes": {"choices": ["none", "bicubic", "lanczos"]}}');
INSERT INTO "trial_params" VALUES(85,15,'stem',0.0,'{"name": "CategoricalDistribution", "attributes": {"choices": ["conv", "unshuffle2"]}}');
INSERT INTO "trial_params" VALUES(86,15,'width',0.0,'{"name": "CategoricalDistribution", "attributes": {"choices": [8, 12, 16, 24]}}');
INSERT INTO "trial_params" VALUES(87,15,'depth',3.0,'{"name": "IntDistribution", "attributes": {"log": false, "step": 1, "low": 0, "high": 3}}');
INSERT INTO "trial_params" VALUES(88,15,'block',1.0,'{"name": "CategoricalDistribution", "attributes": {"choices": ["conv", "ecb"]}}');
INSERT INTO "trial_params" VALUES(89,15,'activation',0.0,'{"name": "CategoricalDistribution", "attributes": {"choices": ["relu", "gelu"]}}');
INSERT INTO "trial_params" VALUES(90,15,'residual',2.0,'{"name": "CategoricalDistribution", "attributes": {"choices": ["none", "bicubic", "lanczos"]}}');
INSERT INTO "trial_params" VALUES(91,16,'stem',0.0,'{"name": "CategoricalDistribution", "attributes": {"choices": ["conv", "unshuffle2"]}}');
INSERT INTO "trial_params" VALUES(92,16,'width',0.0,'{"name": "CategoricalDistribution", "attributes": {"choices": [8, 12, 16, 24]}}');
INSERT INTO "trial_params" VALUES(93,16,'depth',2.0,'{"name": "IntDistribution", "attributes": {"log": false, "step": 1, "low": 0, "high": 3}}');
INSERT INTO "trial_params" VALUES(94,16,'block',0.0,'{"name": "CategoricalDistribution", "attributes": {"choices": ["conv", "ecb"]}}');
INSERT INTO "trial_params" VALUES(95,16,'activation',0.0,'{"name": "CategoricalDistribution", "attributes": {"choices": ["relu", "gelu"]}}');
INSERT INTO "trial_params" VALUES(96,16,'residual',1.0,'{"name": "CategoricalDistribution", "attributes": {"choices": ["none", "bicubic", "lanczos"]}}');
INSERT INTO "trial_params" VALUES(97,17,'stem',0.0,'{"name": "CategoricalDistribution", "attributes": {"choices": ["conv", "unshuffle2"]}}');
INSERT INTO "trial_params" VALUES(98,17,'width',0.0,'{"name": "CategoricalDistribution", "attributes": {"choices": [8, 12, 16, 24]}}');
INSERT INTO "trial_params" VALUES(99,17,'depth',1.0,'{"name": "IntDistribution", "attributes": {"log": false, "step": 1, "low": 0, "high": 3}}');
INSERT INTO "trial_params" VALUES(100,17,'block',0.0,'{"name": "CategoricalDistribution", "attributes": {"choices": ["conv", "ecb"]}}');
INSERT INTO "trial_params" VALUES(101,17,'activation',0.0,'{"name": "CategoricalDistribution", "attributes": {"choices": ["relu", "gelu"]}}');
INSERT INTO "trial_params" VALUES(102,17,'residual',2.0,'{"name": "CategoricalDistribution", "attributes": {"choices": ["none", "bicubic", "lanczos"]}}');
INSERT INTO "trial_params" VALUES(103,18,'stem',1.0,'{"name": "CategoricalDistribution", "attributes": {"choices": ["conv", "unshuffle2"]}}');
INSERT INTO "trial_params" VALUES(104,18,'width',1.0,'{"name": "CategoricalDistribution", "attributes": {"choices": [8, 12, 16, 24]}}');
INSERT INTO "trial_params" VALUES(105,18,'depth',1.0,'{"name": "IntDistribution", "attributes": {"log": false, "step": 1, "low": 0, "high": 3}}');
INSERT INTO "trial_params" VALUES(106,18,'block',0.0,'{"name": "CategoricalDistribution", "attributes": {"choices": ["conv", "ecb"]}}');
INSERT INTO "trial_params" VALUES(107,18,'activation',0.0,'{"name": "CategoricalDistribution", "attributes": {"choices": ["relu", "gelu"]}}');
INSERT INTO "trial_params" VALUES(108,18,'residual',0.0,'{"name": "CategoricalDistribution", "attributes": {"choices": ["none", "bicubic", "lanczos"]}}');
INSERT INTO "trial_params" VALUES(109,19,'stem',1.0,'{"name": "CategoricalDistribution", "attributes": {"choices": ["conv", "unshuffle2"]}}');
INSERT INTO "trial_params" VALUES(110,19,'width',1.0,'{"name": "CategoricalDistribution", "attributes": {"choices": [8, 12, 16, 24]}}');
INSERT INTO "trial_params" VALUES(111,19,'depth',1.0,'{"name": "IntDistribution", "attributes": {"log": false, "step": 1, "low": 0, "high": 3}}');
INSERT INTO "trial_params" VALUES(112,19,'block',0.0,'{"name": "CategoricalDistribution", "attributes": {"choices": ["conv", "ecb"]}}');
INSERT INTO "trial_params" VALUES(113,19,'activation',0.0,'{"name": "CategoricalDistribution", "attributes": {"choices": ["relu", "gelu"]}}');
INSERT INTO "trial_params" VALUES(114,19,'residual',0.0,'{"name": "CategoricalDistribution", "attributes": {"choices": ["none", "bicubic", "lanczos"]}}');
INSERT INTO "trial_params" VALUES(115,20,'stem',0.0,'{"name": "CategoricalDistribution", "attributes": {"choices": ["conv", "unshuffle2"]}}');
INSERT INTO "trial_params" VALUES(116,20,'width',0.0,'{"name": "CategoricalDistribution", "attributes": {"choices": [8, 12, 16, 24]}}');
INSERT INTO "trial_params" VALUES(117,20,'depth',0.0,'{"name": "IntDistribution", "attributes": {"log": false, "step": 1, "low": 0, "high": 3}}');
INSERT INTO "trial_params" VALUES(118,20,'block',1.0,'{"name": "CategoricalDistribution", "attributes": {"choices": ["conv", "ecb"]}}');
INSERT INTO "trial_params" VALUES(119,20,'activation',0.0,'{"name": "CategoricalDistribution", "attributes": {"choices": ["relu", "gelu"]}}');
INSERT INTO "trial_params" VALUES(120,20,'residual',2.0,'{"name": "CategoricalDistribution", "attributes": {"choices": ["none", "bicubic", "lanczos"]}}');
INSERT INTO "trial_params" VALUES(121,21,'stem',0.0,'{"name": "CategoricalDistribution", "attributes": {"choices": ["conv", "unshuffle2"]}}');
INSERT INTO "trial_params" VALUES(122,21,'width',0.0,'{"name": "CategoricalDistribution", "attributes": {"choices": [8, 12, 16, 24]}}');
INSERT INTO "trial_params" VALUES(123,21,'depth',0.0,'{"name": "IntDistribution", "attributes": {"log": false, "step": 1, "low": 0, "high": 3}}');
INSERT INTO "trial_params" VALUES(124,21,'block',0.0,'{"name": "CategoricalDistribution", "attributes": {"choices": ["conv", "ecb"]}}');
INSERT INTO "trial_params" VALUES(125,21,'activation',0.0,'{"name": "CategoricalDistribution", "attributes": {"choices": ["relu", "gelu"]}}');
INSERT INTO "trial_params" VALUES(126,21,'residual',1.0,'{"name": "CategoricalDistribution", "attributes": {"choices": ["none", "bicubic", "lanczos"]}}');
INSERT INTO "trial_params" VALUES(127,22,'stem',0.0,'{"name": "CategoricalDistribution", "attributes": {"choices": ["conv", "unshuffle2"]}}');
INSERT INTO "trial_params" VALUES(128,22,'width',0.0,'{"name": "CategoricalDistribution", "attributes": {"choices": [8, 12, 16, 24]}}');
INSERT INTO "trial_params" VALUES(129,22,'depth',0.0,'{"name": "IntDistribution", "attributes": {"log": false, "step": 1, "low": 0, "high": 3}}');
INSERT INTO "trial_params" VALUES(130,22,'block',1.0,'{"name": "CategoricalDistribution", "attributes": {"choices": ["conv", "ecb"]}}');
INSERT INTO "trial_params" VALUES(131,22,'activation',0.0,'{"name": "CategoricalDistribution", "attributes": {"choices": ["relu", "gelu"]}}');
INSERT INTO "trial_params" VALUES(132,22,'residual',1.0,'{"name": "CategoricalDistribution", "attributes": {"choices": ["none", "bicubic", "lanczos"]}}');
INSERT INTO "trial_params" VALUES(133,23,'stem',0.0,'{"name": "CategoricalDistribution", "attributes": {"choices": ["conv", "unshuffle2"]}}');
INSERT INTO "trial_params" VALUES(134,23,'width',0.0,'{"name": "CategoricalDistribution", "attributes": {"choices": [8, 12, 16, 24]}}');
INSERT INTO "trial_params" VALUES(135,23,'depth',0.0,'{"name": "IntDistribution", "attributes": {"log": false, "step": 1, "low": 0, "high": 3}}');
INSERT INTO "trial_params" VALUES(136,23,'block',0.0,'{"name": "CategoricalDistribution", "attributes": {"choices": ["conv", "ecb"]}}');
INSERT INTO "trial_params" VALUES(137,23,'activation',0.0,'{"name": "CategoricalDistribution", "attributes": {"choices": ["relu", "gelu"]}}');
INSERT INTO "trial_params" VALUES(138,23,'residual',0.0,'{"name": "CategoricalDistribution", "attributes": {"choices": ["none", "bicubic", "lanczos"]}}');
INSERT INTO "trial_params" VALUES(139,24,'stem',0.0,'{"name": "CategoricalDistribution", "attributes": {"choices": ["conv", "unshuffle2"]}}');
INSERT INTO "trial_params" VALUES(140,24,'width',0.0,'{"name": "CategoricalDistribution", "attributes": {"choices": [8, 12, 16, 24]}}');
INSERT INTO "trial_params" VALUES(141,24,'depth',0.0,'{"name": "IntDistribution", "attributes": {"log": false, "step": 1, "low": 0, "high": 3}}');
INSERT INTO "trial_params" VALUES(142,24,'block',0.0,'{"name": "CategoricalDistribution", "attributes": {"choices": ["conv", "ecb"]}}');
INSERT INTO "trial_params" VALUES(143,24,'activation',0.0,'{"name": "CategoricalDistribution", "attributes": {"choices": ["relu", "gelu"]}}');
INSERT INTO "trial_params" VALUES(144,24,'residual',1.0,'{"name": "CategoricalDistribution", "attributes": {"choices": ["none", "bicubic", "lanczos"]}}');
INSERT INTO "trial_params" VALUES(145,25,'stem',0.0,'{"name": "CategoricalDistribution", "attributes": {"choices": ["conv", "unshuffle2"]}}');
INSERT INTO "trial_params" VALUES(146,25,'width',0.0,'{"name": "CategoricalDistribution", "attributes": {"choices": [8, 12, 16, 24]}}');
INSERT INTO "trial_params" VALUES(147,25,'depth',0.0,'{"name": "IntDistribution", "attributes": {"log": false, "step": 1, "low": 0, "high": 3}}');
INSERT INTO "trial_params" VALUES(148,25,'block',0.0,'{"name": "CategoricalDistribution", "attributes": {"choices": ["conv", "ecb"]}}');
INSERT INTO "trial_params" VALUES(149,25,'activation',0.0,'{"name": "CategoricalDistribution", "attributes": {"choices": ["relu", "gelu"]}}');
INSERT INTO "trial_params" VALUES(150,25,'residual',0.0,'{"name": "CategoricalDistribution", "attributes": {"choices": ["none", "bicubic", "lanczos"]}}');
INSERT INTO "trial_params" VALUES(151,26,'stem',0.0,'{"name": "CategoricalDistribution", "attributes": {"choices": ["conv", "unshuffle2"]}}');
INSERT INTO "trial_params" VALUES(152,26,'width',1.0,'{"name": "CategoricalDistribution", "attributes": {"choices": [8, 12, 16, 24]}}');
INSERT INTO "trial_params" VALUES(153,26,'depth',0.0,'{"name": "IntDistribution", "attributes": {"log": false, "step": 1, "low": 0, "high": 3}}');
INSERT INTO "trial_params" VALUES(154,26,'block',0.0,'{"name": "CategoricalDistribution", "attributes": {"choices": ["conv", "ecb"]}}');
INSERT INTO "trial_params" VALUES(155,26,'activation',1.0,'{"name": "CategoricalDistribution", "attributes": {"choices": ["relu", "gelu"]}}');
INSERT INTO "trial_params" VALUES(156,26,'residual',0.0,'{"name": "CategoricalDistribution", "attributes": {"choices": ["none", "bicubic", "lanczos"]}}');
INSERT INTO "trial_params" VALUES(157,27,'stem',0.0,'{"name": "CategoricalDistribution", "attributes": {"choices": ["conv", "unshuffle2"]}}');
INSERT INTO "trial_params" VALUES(158,27,'width',1.0,'{"name": "CategoricalDistribution", "attributes": {"choices": [8, 12, 16, 24]}}');
INSERT INTO "trial_params" VALUES(159,27,'depth',0.0,'{"name": "IntDistribution", "attributes": {"log": false, "step": 1, "low": 0, "high": 3}}');
INSERT INTO "trial_params" VALUES(160,27,'block',0.0,'{"name": "CategoricalDistribution", "attributes": {"choices": ["conv", "ecb"]}}');
INSERT INTO "trial_params" VALUES(161,27,'activation',1.0,'{"name": "CategoricalDistribution", "attributes": {"choices": ["relu", "gelu"]}}');
INSERT INTO "trial_params" VALUES(162,27,'residual',0.0,'{"name": "CategoricalDistribution", "attributes": {"choices": ["none", "bicubic", "lanczos"]}}');
INSERT INTO "trial_params" VALUES(163,28,'stem',0.0,'{"name": "CategoricalDistribution", "attributes": {"choices": ["conv", "unshuffle2"]}}');
INSERT INTO "trial_params" VALUES(164,28,'width',1.0,'{"name": "CategoricalDistribution", "attributes": {"choices": [8, 12, 16, 24]}}');
INSERT INTO "trial_params" VALUES(165,28,'depth',0.0,'{"name": "IntDistribution", "attributes": {"log": false, "step": 1, "low": 0, "high": 3}}');
INSERT INTO "trial_params" VALUES(166,28,'block',0.0,'{"name": "CategoricalDistribution", "attributes": {"choices": ["conv", "ecb"]}}');
INSERT INTO "trial_params" VALUES(167,28,'activation',1.0,'{"name": "CategoricalDistribution", "attributes": {"choices": ["relu", "gelu"]}}');
INSERT INTO "trial_params" VALUES(168,28,'residual',0.0,'{"name": "CategoricalDistribution", "attributes": {"choices": ["none", "bicubic", "lanczos"]}}');
INSERT INTO "trial_params" VALUES(169,29,'stem',0.0,'{"name": "CategoricalDistribution", "attributes": {"choices": ["conv", "unshuffle2"]}}');
INSERT INTO "trial_params" VALUES(170,29,'width',1.0,'{"name": "CategoricalDistribution", "attributes": {"choices": [8, 12, 16, 24]}}');
INSERT INTO "trial_params" VALUES(171,29,'depth',0.0,'{"name": "IntDistribution", "attributes": {"log": false, "step": 1, "low": 0, "high": 3}}');
INSERT INTO "trial_params" VALUES(172,29,'block',0.0,'{"name": "CategoricalDistribution", "attributes": {"choices": ["conv", "ecb"]}}');
INSERT INTO "trial_params" VALUES(173,29,'activation',1.0,'{"name": "CategoricalDistribution", "attributes": {"choices": ["relu", "gelu"]}}');
INSERT INTO "trial_params" VALUES(174,29,'residual',0.0,'{"name": "CategoricalDistribution", "attributes": {"choices": ["none", "bicubic", "lanczos"]}}');
INSERT INTO "trial_params" VALUES(175,30,'stem',0.0,'{"name": "CategoricalDistribution", "attributes": {"choices": ["conv", "unshuffle2"]}}');
INSERT INTO "trial_params" VALUES(176,30,'width',1.0,'{"name": "CategoricalDistribution", "attributes": {"choices": [8, 12, 16, 24]}}');
INSERT INTO "trial_params" VALUES(177,30,'depth',0.0,'{"name": "IntDistribution", "attributes": {"log": false, "step": 1, "low": 0, "high": 3}}');
INSERT INTO "trial_params" VALUES(178,30,'block',0.0,'{"name": "CategoricalDistribution", "attributes": {"choices": ["conv", "ecb"]}}');
INSERT INTO "trial_params" VALUES(179,30,'activation',1.0,'{"name": "CategoricalDistribution", "attributes": {"choices": ["relu", "gelu"]}}');
INSERT INTO "trial_params" VALUES(180,30,'residual',0.0,'{"name": "CategoricalDistribution", "attributes": {"choices": ["none", "bicubic", "lanczos"]}}');
INSERT INTO "trial_params" VALUES(181,31,'stem',0.0,'{"name": "CategoricalDistribution", "attributes": {"choices": ["conv", "unshuffle2"]}}');
INSERT INTO "trial_params" VALUES(182,31,'width',1.0,'{"name": "CategoricalDistribution", "attributes": {"choices": [8, 12, 16, 24]}}');
INSERT INTO "trial_params" VALUES(183,31,'depth',0.0,'{"name": "IntDistribution", "attributes": {"log": false, "step": 1, "low": 0, "high": 3}}');
INSERT INTO "trial_params" VALUES(184,31,'block',0.0,'{"name": "CategoricalDistribution", "attributes": {"choices": ["conv", "ecb"]}}');
INSERT INTO "trial_params" VALUES(185,31,'activation',1.0,'{"name": "CategoricalDistribution", "attributes": {"choices": ["relu", "gelu"]}}');
INSERT INTO "trial_params" VALUES(186,31,'residual',0.0,'{"name": "CategoricalDistribution", "attributes": {"choices": ["none", "bicubic", "lanczos"]}}');
INSERT INTO "trial_params" VALUES(187,32,'stem',0.0,'{"name": "CategoricalDistribution", "attributes": {"choices": ["conv", "unshuffle2"]}}');
INSERT INTO "trial_params" VALUES(188,32,'width',1.0,'{"name": "CategoricalDistribution", "attributes": {"choices": [8, 12, 16, 24]}}');
INSERT INTO "trial_params" VALUES(189,32,'depth',2.0,'{"name": "IntDistribution", "attributes": {"log": false, "step": 1, "low": 0, "high": 3}}');
INSERT INTO "trial_params" VALUES(190,32,'block',0.0,'{"name": "CategoricalDistribution", "attributes": {"choices": ["conv", "ecb"]}}');
INSERT INTO "trial_params" VALUES(191,32,'activation',0.0,'{"name": "CategoricalDistribution", "attributes": {"choices": ["relu", "gelu"]}}');
INSERT INTO "trial_params" VALUES(192,32,'residual',0.0,'{"name": "CategoricalDistribution", "attributes": {"choices": ["none", "bicubic", "lanczos"]}}');
INSERT INTO "trial_params" VALUES(193,33,'stem',0.0,'{"name": "CategoricalDistribution", "attributes": {"choices": ["conv", "unshuffle2"]}}');
INSERT INTO "trial_params" VALUES(194,33,'width',0.0,'{"name": "CategoricalDistribution", "attributes": {"choices": [8, 12, 16, 24]}}');
INSERT INTO "trial_params" VALUES(195,33,'depth',0.0,'{"name": "IntDistribution", "attributes": {"log": false, "step": 1, "low": 0, "high": 3}}');
INSERT INTO "trial_params" VALUES(196,33,'block',0.0,'{"name": "CategoricalDistribution", "attributes": {"choices": ["conv", "ecb"]}}');
INSERT INTO "trial_params" VALUES(197,33,'activation',1.0,'{"name": "CategoricalDistribution", "attributes": {"choices": ["relu", "gelu"]}}');
INSERT INTO "trial_params" VALUES(198,33,'residual',0.0,'{"name": "CategoricalDistribution", "attributes": {"choices": ["none", "bicubic", "lanczos"]}}');
CREATE TABLE trial_system_attributes (
	trial_system_attribute_id INTEGER NOT NULL, 
	trial_id INTEGER, 
	"key" VARCHAR(512), 
	value_json TEXT, 
	PRIMARY KEY (trial_system_attribute_id), 
	UNIQUE (trial_id, "key"), 
	FOREIGN KEY(trial_id) REFERENCES trials (trial_id)
);
INSERT INTO "trial_system_attributes" VALUES(1,1,'fixed_params','{"stem": "conv", "width": 8, "depth": 0, "block": "conv", "activation": "relu", "residual": "lanczos"}');
INSERT INTO "trial_system_attributes" VALUES(2,1,'constraints:runtime_ms','-0.2741056007278908');
INSERT INTO "trial_system_attributes" VALUES(3,1,'constraints:macs','-0.9657095736199285');
INSERT INTO "trial_system_attributes" VALUES(4,1,'constraints:params','-1.862181933524601');
INSERT INTO "trial_system_attributes" VALUES(5,1,'constraints:memory_mb','-0.0004726156795552913');
INSERT INTO "trial_system_attributes" VALUES(6,1,'constraints:colour_loss_db','-1.0625');
INSERT INTO "trial_system_attributes" VALUES(7,1,'constraints:lanczos','-0.0625');
INSERT INTO "trial_system_attributes" VALUES(8,1,'constraints:broken','-1.0');
INSERT INTO "trial_system_attributes" VALUES(9,2,'fixed_params','{"stem": "conv", "width": 8, "depth": 1, "block": "conv", "activation": "relu", "residual": "lanczos"}');
INSERT INTO "trial_system_attributes" VALUES(10,2,'constraints:runtime_ms','-0.19995389199274607');
INSERT INTO "trial_system_attributes" VALUES(11,2,'constraints:macs','-0.8199977624385348');
INSERT INTO "trial_system_attributes" VALUES(12,2,'constraints:params','-1.7166519967412497');
INSERT INTO "trial_system_attributes" VALUES(13,2,'constraints:memory_mb','-0.00046157812692828356');
INSERT INTO "trial_system_attributes" VALUES(14,2,'constraints:colour_loss_db','-1.0625');
INSERT INTO "trial_system_attributes" VALUES(15,2,'constraints:lanczos','-0.25');
INSERT INTO "trial_system_attributes" VALUES(16,2,'constraints:broken','-1.0');
INSERT INTO "trial_system_attributes" VALUES(17,3,'fixed_params','{"stem": "conv", "width": 8, "depth": 2, "block": "ecb", "activation": "relu", "residual": "lanczos"}');
INSERT INTO "trial_system_attributes" VALUES(18,3,'constraints:runtime_ms','-0.13092311701581427');
INSERT INTO "trial_system_attributes" VALUES(19,3,'constraints:macs','-0.6928425869532882');
INSERT INTO "trial_system_attributes" VALUES(20,3,'constraints:params','-1.5896352851379207');
INSERT INTO "trial_system_attributes" VALUES(21,3,'constraints:memory_mb','-0.0004505406961277213');
INSERT INTO "trial_system_attributes" VALUES(22,3,'constraints:colour_loss_db','-1.0625');
INSERT INTO "trial_system_attributes" VALUES(23,3,'constraints:lanczos','-0.375');
INSERT INTO "trial_system_attributes" VALUES(24,3,'constraints:broken','-1.0');
INSERT INTO "trial_system_attributes" VALUES(25,4,'fixed_params','{"stem": "conv", "width": 8, "depth": 1, "block": "conv", "activation": "gelu", "residual": "lanczos"}');
INSERT INTO "trial_system_attributes" VALUES(26,4,'constraints:runtime_ms','-0.19995389199274607');
INSERT INTO "trial_system_attributes" VALUES(27,4,'constraints:macs','-0.8199977624385348');
INSERT INTO "trial_system_attributes" VALUES(28,4,'constraints:params','-1.7166519967412497');
INSERT INTO "trial_system_attributes" VALUES(29,4,'constraints:memory_mb','-0.00046157812692828356');
INSERT INTO "trial_system_attributes" VALUES(30,4,'constraints:colour_loss_db','-1.0625');
INSERT INTO "trial_system_attributes" VALUES(31,4,'constraints:lanczos','-0.1875');
INSERT INTO "trial_system_attributes" VALUES(32,4,'constraints:broken','-1.0');
INSERT INTO "trial_system_attributes" VALUES(33,5,'fixed_params','{"stem": "conv", "width": 8, "depth": 1, "block": "conv", "activation": "relu", "residual": "none"}');
INSERT INTO "trial_system_attributes" VALUES(34,5,'constraints:runtime_ms','-1.009011992577953');
INSERT INTO "trial_system_attributes" VALUES(35,5,'constraints:macs','-0.8199977624385348');
INSERT INTO "trial_system_attributes" VALUES(36,5,'constraints:params','-1.7166519967412497');
INSERT INTO "trial_system_attributes" VALUES(37,5,'constraints:memory_mb','-0.03086901392985139');
INSERT INTO "trial_system_attributes" VALUES(38,5,'constraints:colour_loss_db','-1.0625');
INSERT INTO "trial_system_attributes" VALUES(39,5,'constraints:lanczos','0.125');
INSERT INTO "trial_system_attributes" VALUES(40,5,'constraints:broken','-1.0');
INSERT INTO "trial_system_attributes" VALUES(41,6,'fixed_params','{"stem": "conv", "width": 8, "depth": 1, "block": "conv", "activation": "relu", "residual": "bicubic"}');
INSERT INTO "trial_system_attributes" VALUES(42,6,'constraints:runtime_ms','-0.24828184418221685');
INSERT INTO "trial_system_attributes" VALUES(43,6,'constraints:macs','-0.8199977624385348');
INSERT INTO "trial_system_attributes" VALUES(44,6,'constraints:params','-1.7166519967412497');
INSERT INTO "trial_system_attributes" VALUES(45,6,'constraints:memory_mb','-0.0006546016612396752');
INSERT INTO "trial_system_attributes" VALUES(46,6,'constraints:colour_loss_db','0.5');
INSERT INTO "trial_system_attributes" VALUES(47,6,'constraints:lanczos','-0.5');
INSERT INTO "trial_system_attributes" VALUES(48,6,'constraints:broken','-1.0');
INSERT INTO "trial_system_attributes" VALUES(49,7,'fixed_params','{"stem": "conv", "width": 12, "depth": 3, "block": "conv", "activation": "gelu", "residual": "lanczos"}');
INSERT INTO "trial_system_attributes" VALUES(50,7,'constraints:runtime_ms','0.07565035139837385');
INSERT INTO "trial_system_attributes" VALUES(51,7,'constraints:macs','-0.026161979581506095');
INSERT INTO "trial_system_attributes" VALUES(52,7,'constraints:params','-0.9276044917744285');
INSERT INTO "trial_system_attributes" VALUES(53,7,'constraints:memory_mb','-0.0003636818794099204');
INSERT INTO "trial_system_attributes" VALUES(54,7,'constraints:colour_loss_db','0.0');
INSERT INTO "trial_system_attributes" VALUES(55,7,'constraints:lanczos','-1.0');
INSERT INTO "trial_system_attributes" VALUES(56,7,'constraints:broken','-1.0');
INSERT INTO "trial_system_attributes" VALUES(57,8,'fixed_params','{"stem": "conv", "width": 16, "depth": 1, "block": "conv", "activation": "gelu", "residual": "lanczos"}');
INSERT INTO "trial_system_attributes" VALUES(58,8,'constraints:runtime_ms','0.0');
INSERT INTO "trial_system_attributes" VALUES(59,8,'constraints:macs','0.00030459360665710663');
INSERT INTO "trial_system_attributes" VALUES(60,8,'constraints:params','-0.9030455051241345');
INSERT INTO "trial_system_attributes" VALUES(61,8,'constraints:memory_mb','-0.00035922196974578254');
INSERT INTO "trial_system_attributes" VALUES(62,8,'constraints:colour_loss_db','0.0');
INSERT INTO "trial_system_attributes" VALUES(63,8,'constraints:lanczos','-1.0');
INSERT INTO "trial_system_attributes" VALUES(64,8,'constraints:broken','-1.0');
INSERT INTO "trial_system_attributes" VALUES(65,9,'fixed_params','{"stem": "unshuffle2", "width": 12, "depth": 0, "block": "conv", "activation": "gelu", "residual": "lanczos"}');
INSERT INTO "trial_system_attributes" VALUES(66,9,'constraints:runtime_ms','0.0');
INSERT INTO "trial_system_attributes" VALUES(67,9,'constraints:macs','-0.560244465511764');
INSERT INTO "trial_system_attributes" VALUES(68,9,'constraints:params','-0.0763412332567226');
INSERT INTO "trial_system_attributes" VALUES(69,9,'constraints:memory_mb','6.483212901227725e-05');
INSERT INTO "trial_system_attributes" VALUES(70,9,'constraints:colour_loss_db','0.0');
INSERT INTO "trial_system_attributes" VALUES(71,9,'constraints:lanczos','-1.0');
INSERT INTO "trial_system_attributes" VALUES(72,9,'constraints:broken','-1.0');
INSERT INTO "trial_system_attributes" VALUES(73,10,'fixed_params','{"stem": "unshuffle2", "width": 12, "depth": 2, "block": "conv", "activation": "gelu", "residual": "lanczos"}');
INSERT INTO "trial_system_attributes" VALUES(74,10,'constraints:runtime_ms','0.0');
INSERT INTO "trial_system_attributes" VALUES(75,10,'constraints:macs','-0.4490188304015398');
INSERT INTO "trial_system_attributes" VALUES(76,10,'constraints:params','0.03488440185350188');
INSERT INTO "trial_system_attributes" VALUES(77,10,'constraints:memory_mb','0.0001142468031405063');
INSERT INTO "trial_system_attributes" VALUES(78,10,'constraints:colour_loss_db','0.0');
INSERT INTO "trial_system_attributes" VALUES(79,10,'constraints:lanczos','-1.0');
INSERT INTO "trial_system_attributes" VALUES(80,10,'constraints:broken','-1.0');
INSERT INTO "trial_system_attributes" VALUES(81,11,'fixed_params','{"stem": "conv", "width": 8, "depth": 2, "block": "conv", "activation": "gelu", "residual": "lanczos"}');
INSERT INTO "trial_system_attributes" VALUES(82,11,'constraints:runtime_ms','-0.13092311701581427');
INSERT INTO "trial_system_attributes" VALUES(83,11,'constraints:macs','-0.6928425869532882');
INSERT INTO "trial_system_attributes" VALUES(84,11,'constraints:params','-1.5896352851379207');
INSERT INTO "trial_system_attributes" VALUES(85,11,'constraints:memory_mb','-0.0004505406961277213');
INSERT INTO "trial_system_attributes" VALUES(86,11,'constraints:colour_loss_db','0.0');
INSERT INTO "trial_system_attributes" VALUES(87,11,'constraints:lanczos','-1.0');
INSERT INTO "trial_system_attributes" VALUES(88,11,'constraints:broken','-1.0');
INSERT INTO "trial_system_attributes" VALUES(89,12,'fixed_params','{"stem": "conv", "width": 8, "depth": 2, "block": "conv", "activation": "relu", "residual": "none"}');
INSERT INTO "trial_system_attributes" VALUES(90,12,'constraints:runtime_ms','-0.8601568263293409');
INSERT INTO "trial_system_attributes" VALUES(91,12,'constraints:macs','-0.6928425869532882');
INSERT INTO "trial_system_attributes" VALUES(92,12,'constraints:params','-1.5896352851379207');
INSERT INTO "trial_system_attributes" VALUES(93,12,'constraints:memory_mb','-0.030857635726234303');
INSERT INTO "trial_system_attributes" VALUES(94,12,'constraints:colour_loss_db','0.0');
INSERT INTO "trial_system_attributes" VALUES(95,12,'constraints:lanczos','-1.0');
INSERT INTO "trial_system_attributes" VALUES(96,12,'constraints:broken','1.0');
INSERT INTO "trial_system_attributes" VALUES(97,13,'fixed_params','{"stem": "conv", "width": 8, "depth": 3, "block": "conv", "activation": "relu", "residual": "none"}');
INSERT INTO "trial_system_attributes" VALUES(98,13,'constraints:runtime_ms','0.0');
INSERT INTO "trial_system_attributes" VALUES(99,13,'constraints:macs','0.0');
INSERT INTO "trial_system_attributes" VALUES(100,13,'constraints:params','0.0');
INSERT INTO "trial_system_attributes" VALUES(101,13,'constraints:memory_mb','0.0');
INSERT INTO "trial_system_attributes" VALUES(102,13,'constraints:colour_loss_db','0.0');
INSERT INTO "trial_system_attributes" VALUES(103,13,'constraints:lanczos','-1.0');
INSERT INTO "trial_system_attributes" VALUES(104,13,'constraints:broken','1.0');
INSERT INTO "trial_system_attributes" VALUES(105,14,'fixed_params','{"stem": "conv", "width": 8, "depth": 3, "block": "conv", "activation": "relu", "residual": "bicubic"}');
INSERT INTO "trial_system_attributes" VALUES(106,14,'constraints:runtime_ms','-0.10850605035353629');
INSERT INTO "trial_system_attributes" VALUES(107,14,'constraints:macs','-0.5800470928079438');
INSERT INTO "trial_system_attributes" VALUES(108,14,'constraints:params','-1.4769487293880215');
INSERT INTO "trial_system_attributes" VALUES(109,14,'constraints:memory_mb','-0.0006325226601532458');
INSERT INTO "trial_system_attributes" VALUES(110,14,'constraints:colour_loss_db','0.0');
INSERT INTO "trial_system_attributes" VALUES(111,14,'constraints:lanczos','-1.0');
INSERT INTO "trial_system_attributes" VALUES(112,14,'constraints:broken','1.0');
INSERT INTO "trial_system_attributes" VALUES(113,15,'fixed_params','{"stem": "conv", "width": 8, "depth": 3, "block": "ecb", "activation": "relu", "residual": "lanczos"}');
INSERT INTO "trial_system_attributes" VALUES(114,15,'constraints:runtime_ms','-0.06635143150299146');
INSERT INTO "trial_system_attributes" VALUES(115,15,'constraints:macs','-0.5800470928079438');
INSERT INTO "trial_system_attributes" VALUES(116,15,'constraints:params','-1.4769487293880215');
INSERT INTO "trial_system_attributes" VALUES(117,15,'constraints:memory_mb','-0.00043950338715047097');
INSERT INTO "trial_system_attributes" VALUES(118,15,'constraints:colour_loss_db','0.0');
INSERT INTO "trial_system_attributes" VALUES(119,15,'constraints:lanczos','-1.0');
INSERT INTO "trial_system_attributes" VALUES(120,15,'constraints:broken','1.0');
INSERT INTO "trial_system_attributes" VALUES(121,16,'fixed_params','{"stem": "conv", "width": 8, "depth": 2, "block": "conv", "activation": "relu", "residual": "bicubic"}');
INSERT INTO "trial_system_attributes" VALUES(122,16,'constraints:runtime_ms','-0.17595377366172452');
INSERT INTO "trial_system_attributes" VALUES(123,16,'constraints:macs','-0.6928425869532882');
INSERT INTO "trial_system_attributes" VALUES(124,16,'constraints:params','-1.5896352851379207');
INSERT INTO "trial_system_attributes" VALUES(125,16,'constraints:memory_mb','-0.0006435620997611188');
INSERT INTO "trial_system_attributes" VALUES(126,16,'constraints:colour_loss_db','0.0');
INSERT INTO "trial_system_attributes" VALUES(127,16,'constraints:lanczos','-1.0');
INSERT INTO "trial_system_attributes" VALUES(128,16,'constraints:broken','1.0');
INSERT INTO "trial_system_attributes" VALUES(129,17,'fixed_params','{"stem": "conv", "width": 8, "depth": 1, "block": "conv", "activation": "relu", "residual": "lanczos"}');
INSERT INTO "trial_system_attributes" VALUES(130,17,'constraints:runtime_ms','-0.19995389199274607');
INSERT INTO "trial_system_attributes" VALUES(131,17,'constraints:macs','-0.8199977624385348');
INSERT INTO "trial_system_attributes" VALUES(132,17,'constraints:params','-1.7166519967412497');
INSERT INTO "trial_system_attributes" VALUES(133,17,'constraints:memory_mb','-0.00046157812692828356');
INSERT INTO "trial_system_attributes" VALUES(134,17,'constraints:colour_loss_db','-1.0625');
INSERT INTO "trial_system_attributes" VALUES(135,17,'constraints:lanczos','-0.25');
INSERT INTO "trial_system_attributes" VALUES(136,17,'constraints:broken','-1.0');
INSERT INTO "trial_system_attributes" VALUES(137,19,'fixed_params','{"stem": "unshuffle2", "width": 12, "depth": 1, "block": "conv", "activation": "relu", "residual": "none"}');
INSERT INTO "trial_system_attributes" VALUES(138,20,'fixed_params','{"stem": "conv", "width": 8, "depth": 0, "block": "ecb", "activation": "relu", "residual": "lanczos"}');
INSERT INTO "trial_system_attributes" VALUES(139,21,'fixed_params','{"stem": "conv", "width": 8, "depth": 0, "block": "conv", "activation": "relu", "residual": "bicubic"}');
INSERT INTO "trial_system_attributes" VALUES(140,22,'fixed_params','{"stem": "conv", "width": 8, "depth": 0, "block": "ecb", "activation": "relu", "residual": "bicubic"}');
INSERT INTO "trial_system_attributes" VALUES(141,23,'fixed_params','{"stem": "conv", "width": 8, "depth": 0, "block": "conv", "activation": "relu", "residual": "none"}');
INSERT INTO "trial_system_attributes" VALUES(142,20,'constraints:runtime_ms','-0.2741056007278908');
INSERT INTO "trial_system_attributes" VALUES(143,20,'constraints:macs','-0.9657095736199285');
INSERT INTO "trial_system_attributes" VALUES(144,20,'constraints:params','-1.862181933524601');
INSERT INTO "trial_system_attributes" VALUES(145,20,'constraints:memory_mb','-0.0004726156795552913');
INSERT INTO "trial_system_attributes" VALUES(146,20,'constraints:colour_loss_db','-1.0625');
INSERT INTO "trial_system_attributes" VALUES(147,20,'constraints:lanczos','-0.0625');
INSERT INTO "trial_system_attributes" VALUES(148,20,'constraints:broken','-1.0');
INSERT INTO "trial_system_attributes" VALUES(149,19,'constraints:runtime_ms','-1.1196553817239672');
INSERT INTO "trial_system_attributes" VALUES(150,19,'constraints:macs','-0.5030860516718154');
INSERT INTO "trial_system_attributes" VALUES(151,19,'constraints:params','-0.019182819416773987');
INSERT INTO "trial_system_attributes" VALUES(152,19,'constraints:memory_mb','-0.03049438059161178');
INSERT INTO "trial_system_attributes" VALUES(153,19,'constraints:colour_loss_db','-1.0625');
INSERT INTO "trial_system_attributes" VALUES(154,19,'constraints:lanczos','-0.03125');
INSERT INTO "trial_system_attributes" VALUES(155,19,'constraints:broken','-1.0');
INSERT INTO "trial_system_attributes" VALUES(156,24,'fixed_params','{"stem": "conv", "width": 8, "depth": 0, "block": "conv", "activation": "relu", "residual": "bicubic"}');
INSERT INTO "trial_system_attributes" VALUES(157,22,'constraints:runtime_ms','-0.32625199611163175');
INSERT INTO "trial_system_attributes" VALUES(158,22,'constraints:macs','-0.9657095736199285');
INSERT INTO "trial_system_attributes" VALUES(159,22,'constraints:params','-1.862181933524601');
INSERT INTO "trial_system_attributes" VALUES(160,22,'constraints:memory_mb','-0.0006656413445913836');
INSERT INTO "trial_system_attributes" VALUES(161,22,'constraints:colour_loss_db','0.0');
INSERT INTO "trial_system_attributes" VALUES(162,22,'constraints:lanczos','-1.0');
INSERT INTO "trial_system_attributes" VALUES(163,22,'constraints:broken','1.0');
INSERT INTO "trial_system_attributes" VALUES(164,25,'fixed_params','{"stem": "conv", "width": 8, "depth": 0, "block": "conv", "activation": "relu", "residual": "none"}');
INSERT INTO "trial_system_attributes" VALUES(165,24,'constraints:runtime_ms','-0.32625199611163175');
INSERT INTO "trial_system_attributes" VALUES(166,24,'constraints:macs','-0.9657095736199285');
INSERT INTO "trial_system_attributes" VALUES(167,24,'constraints:params','-1.862181933524601');
INSERT INTO "trial_system_attributes" VALUES(168,24,'constraints:memory_mb','-0.0006656413445913836');
INSERT INTO "trial_system_attributes" VALUES(169,24,'constraints:colour_loss_db','0.0');
INSERT INTO "trial_system_attributes" VALUES(170,24,'constraints:lanczos','-1.0');
INSERT INTO "trial_system_attributes" VALUES(171,24,'constraints:broken','1.0');
INSERT INTO "trial_system_attributes" VALUES(172,25,'constraints:runtime_ms','-1.1839666280064365');
INSERT INTO "trial_system_attributes" VALUES(173,25,'constraints:macs','-0.9657095736199285');
INSERT INTO "trial_system_attributes" VALUES(174,25,'constraints:params','-1.862181933524601');
INSERT INTO "trial_system_attributes" VALUES(175,25,'constraints:memory_mb','-0.030880392262933584');
INSERT INTO "trial_system_attributes" VALUES(176,25,'constraints:colour_loss_db','-1.0625');
INSERT INTO "trial_system_attributes" VALUES(177,25,'constraints:lanczos','-0.03125');
INSERT INTO "trial_system_attributes" VALUES(178,25,'constraints:broken','-1.0');
INSERT INTO "trial_system_attributes" VALUES(179,26,'fixed_params','{"stem": "conv", "width": 12, "depth": 0, "block": "conv", "activation": "gelu", "residual": "none"}');
INSERT INTO "trial_system_attributes" VALUES(180,27,'fixed_params','{"stem": "conv", "width": 12, "depth": 0, "block": "conv", "activation": "gelu", "residual": "none"}');
INSERT INTO "trial_system_attributes" VALUES(181,28,'fixed_params','{"stem": "conv", "width": 12, "depth": 0, "block": "conv", "activation": "gelu", "residual": "none"}');
INSERT INTO "trial_system_attributes" VALUES(182,29,'fixed_params','{"stem": "conv", "width": 12, "depth": 0, "block": "conv", "activation": "gelu", "residual": "none"}');
INSERT INTO "trial_system_attributes" VALUES(183,30,'fixed_params','{"stem": "conv", "width": 12, "depth": 0, "block": "conv", "activation": "gelu", "residual": "none"}');
INSERT INTO "trial_system_attributes" VALUES(184,31,'fixed_params','{"stem": "conv", "width": 12, "depth": 0, "block": "conv", "activation": "gelu", "residual": "none"}');
INSERT INTO "trial_system_attributes" VALUES(185,31,'constraints:runtime_ms','0.0');
INSERT INTO "trial_system_attributes" VALUES(186,31,'constraints:macs','0.0');
INSERT INTO "trial_system_attributes" VALUES(187,31,'constraints:params','0.0');
INSERT INTO "trial_system_attributes" VALUES(188,31,'constraints:memory_mb','0.0');
INSERT INTO "trial_system_attributes" VALUES(189,31,'constraints:colour_loss_db','0.0');
INSERT INTO "trial_system_attributes" VALUES(190,31,'constraints:lanczos','-1.0');
INSERT INTO "trial_system_attributes" VALUES(191,31,'constraints:broken','1.0');
INSERT INTO "trial_system_attributes" VALUES(192,32,'constraints:runtime_ms','-0.6299953151241657');
INSERT INTO "trial_system_attributes" VALUES(193,32,'constraints:macs','-0.1745819846997794');
INSERT INTO "trial_system_attributes" VALUES(194,32,'constraints:params','-1.07587280169862');
INSERT INTO "trial_system_attributes" VALUES(195,32,'constraints:memory_mb','-0.030793577297444162');
INSERT INTO "trial_system_attributes" VALUES(196,32,'constraints:colour_loss_db','-1.0625');
INSERT INTO "trial_system_attributes" VALUES(197,32,'constraints:lanczos','-0.015625');
INSERT INTO "trial_system_attributes" VALUES(198,32,'constraints:broken','-1.0');
INSERT INTO "trial_system_attributes" VALUES(199,33,'fixed_params','{"stem": "conv", "width": 8, "depth": 0, "block": "conv", "activation": "gelu", "residual": "none"}');
CREATE TABLE trial_user_attributes (
	trial_user_attribute_id INTEGER NOT NULL, 
	trial_id INTEGER, 
	"key" VARCHAR(512), 
	value_json TEXT, 
	PRIMARY KEY (trial_user_attribute_id), 
	UNIQUE (trial_id, "key"), 
	FOREIGN KEY(trial_id) REFERENCES trials (trial_id)
);
INSERT INTO "trial_user_attributes" VALUES(1,1,'origin','"sampler"');
INSERT INTO "trial_user_attributes" VALUES(2,1,'run','"2d9c4856fd75"');
INSERT INTO "trial_user_attributes" VALUES(3,1,'candidate','{"trial": 0, "architecture": {"stem": "conv", "width": 8, "stages": [], "tail": {"kernel": 3, "cascade": 0, "block": "conv", "activation": true}, "activation": "relu", "bias": true, "skip": "none", "residual": "lanczos", "stem_block": "conv", "stem_activation": true, "neck": "none", "inputs": "rgb", "output": "rgb"}, "origin": "sampler"}');
INSERT INTO "trial_user_attributes" VALUES(4,1,'outcome','{"outcome": "trained", "gain_db": 0.0625, "gain_db_per_qp": {"31": 0.1875, "63": -0.0625}, "psnr_y_db": {"31": 22.0625, "63": 21.0625}, "runtime": {"ms": 1.14037768181936, "kind": "predicted", "target": "rtx4090", "backend": "", "device": ""}, "size": {"params": 3728, "macs": 1903564800, "memory_mb": 105.819976}, "curve": [{"step": 2, "gain_db": 0.015625, "seconds": 1.0}, {"step": 4, "gain_db": 0.03125, "seconds": 2.0}], "steps": 6, "seconds": 4.0, "weights": {"sha256": "7bab11555f9b005485e8ab06db456e0a7ded39fc5d44aa6f6f7f57557766f3c2", "data": null, "file": "00000-56decb2f0864.safetensors"}, "gain_cb_db": 0.125, "gain_cr_db": 0.0625}');
INSERT INTO "trial_user_attributes" VALUES(5,2,'origin','"sampler"');
INSERT INTO "trial_user_attributes" VALUES(6,2,'run','"2d9c4856fd75"');
INSERT INTO "trial_user_attributes" VALUES(7,2,'candidate','{"trial": 1, "architecture": {"stem": "conv", "width": 8, "stages": [{"block": "conv", "width": 8, "depth": 1}], "tail": {"kernel": 3, "cascade": 0, "block": "conv", "activation": true}, "activation": "relu", "bias": true, "skip": "none", "residual": "lanczos", "stem_block": "conv", "stem_activation": true, "neck": "none", "inputs": "rgb", "output": "rgb"}, "origin": "sampler"}');
INSERT INTO "trial_user_attributes" VALUES(8,2,'outcome','{"outcome": "trained", "gain_db": 0.25, "gain_db_per_qp": {"31": 0.375, "63": 0.125}, "psnr_y_db": {"31": 22.25, "63": 21.25}, "runtime": {"ms": 1.2281527559876801, "kind": "predicted", "target": "rtx4090", "backend": "", "device": ""}, "size": {"params": 4312, "macs": 2202163200, "memory_mb": 105.821144}, "curve": [{"step": 2, "gain_db": 0.0625, "seconds": 1.0}, {"step": 4, "gain_db": 0.125, "seconds": 2.0}], "steps": 6, "seconds": 4.0, "weights": {"sha256": "211b8c4d6b21299b08b1cfcdb2f655623a6b9253b0316ec734fbd2f276438e56", "data": null, "file": "00001-5512ab337b1e.safetensors"}, "gain_cb_db": 0.125, "gain_cr_db": 0.0625}');
INSERT INTO "trial_user_attributes" VALUES(9,3,'origin','"sampler"');
INSERT INTO "trial_user_attributes" VALUES(10,3,'run','"2d9c4856fd75"');
INSERT INTO "trial_user_attributes" VALUES(11,3,'candidate','{"trial": 2, "architecture": {"stem": "conv", "width": 8, "stages": [{"block": "ecb", "width": 8, "depth": 2}], "tail": {"kernel": 3, "cascade": 0, "block": "conv", "activation": true}, "activation": "relu", "bias": true, "skip": "none", "residual": "lanczos", "stem_block": "conv", "stem_activation": true, "neck": "none", "inputs": "rgb", "output": "rgb"}, "origin": "sampler"}');
INSERT INTO "trial_user_attributes" VALUES(12,3,'outcome','{"outcome": "trained", "gain_db": 0.375, "gain_db_per_qp": {"31": 0.5, "63": 0.25}, "psnr_y_db": {"31": 22.375, "63": 21.375}, "runtime": {"ms": 1.3159278301560002, "kind": "predicted", "target": "rtx4090", "backend": "", "device": ""}, "size": {"params": 4896, "macs": 2500761600, "memory_mb": 105.822312}, "curve": [{"step": 2, "gain_db": 0.09375, "seconds": 1.0}, {"step": 4, "gain_db": 0.1875, "seconds": 2.0}], "steps": 6, "seconds": 4.0, "weights": {"sha256": "37c49d859c3dde779d00c3159f85f69ccaf4662e5f1a287b8dbc2f8817a190cf", "data": null, "file": "00002-88bbf3c0b3bb.safetensors"}, "gain_cb_db": 0.125, "gain_cr_db": 0.0625}');
INSERT INTO "trial_user_attributes" VALUES(13,4,'origin','"sampler"');
INSERT INTO "trial_user_attributes" VALUES(14,4,'run','"2d9c4856fd75"');
INSERT INTO "trial_user_attributes" VALUES(15,4,'candidate','{"trial": 3, "architecture": {"stem": "conv", "width": 8, "stages": [{"block": "conv", "width": 8, "depth": 1}], "tail": {"kernel": 3, "cascade": 0, "block": "conv", "activation": true}, "activation": "gelu", "bias": true, "skip": "none", "residual": "lanczos", "stem_block": "conv", "stem_activation": true, "neck": "none", "inputs": "rgb", "output": "rgb"}, "origin": "sampler"}');
INSERT INTO "trial_user_attributes" VALUES(16,4,'outcome','{"outcome": "trained", "gain_db": 0.1875, "gain_db_per_qp": {"31": 0.3125, "63": 0.0625}, "psnr_y_db": {"31": 22.1875, "63": 21.1875}, "runtime": {"ms": 1.2281527559876801, "kind": "predicted", "target": "rtx4090", "backend": "", "device": ""}, "size": {"params": 4312, "macs": 2202163200, "memory_mb": 105.821144}, "curve": [{"step": 2, "gain_db": 0.046875, "seconds": 1.0}, {"step": 4, "gain_db": 0.09375, "seconds": 2.0}], "steps": 6, "seconds": 4.0, "weights": {"sha256": "706d8d6ee753fa2a04e772f58aff4248904125d598f9cf4b259082938afe4b32", "data": null, "file": "00003-21d259f45a32.safetensors"}, "gain_cb_db": 0.125, "gain_cr_db": 0.0625}');
INSERT INTO "trial_user_attributes" VALUES(17,5,'origin','"sampler"');
INSERT INTO "trial_user_attributes" VALUES(18,5,'run','"2d9c4856fd75"');
INSERT INTO "trial_user_attributes" VALUES(19,5,'candidate','{"trial": 4, "architecture": {"stem": "conv", "width": 8, "stages": [{"block": "conv", "width": 8, "depth": 1}], "tail": {"kernel": 3, "cascade": 0, "block": "conv", "activation": true}, "activation": "relu", "bias": true, "skip": "none", "residual": "none", "stem_block": "conv", "stem_activation": true, "neck": "none", "inputs": "rgb", "output": "rgb"}, "origin": "sampler"}');
INSERT INTO "trial_user_attributes" VALUES(20,5,'outcome','{"outcome": "trained", "gain_db": -0.125, "gain_db_per_qp": {"31": 0.0, "63": -0.25}, "psnr_y_db": {"31": 21.875, "63": 20.875}, "runtime": {"ms": 0.5468685126793601, "kind": "predicted", "target": "rtx4090", "backend": "", "device": ""}, "size": {"params": 4312, "macs": 2202163200, "memory_mb": 102.651824}, "curve": [{"step": 2, "gain_db": -0.03125, "seconds": 1.0}, {"step": 4, "gain_db": -0.0625, "seconds": 2.0}], "steps": 6, "seconds": 4.0, "weights": {"sha256": "f53a69fa47527cd43703c1651548fc00440648437c010041be9bb4e6b8150160", "data": null, "file": "00004-9af0d6c70eff.safetensors"}, "gain_cb_db": 0.125, "gain_cr_db": 0.0625}');
INSERT INTO "trial_user_attributes" VALUES(21,6,'origin','"sampler"');
INSERT INTO "trial_user_attributes" VALUES(22,6,'run','"2d9c4856fd75"');
INSERT INTO "trial_user_attributes" VALUES(23,6,'candidate','{"trial": 5, "architecture": {"stem": "conv", "width": 8, "stages": [{"block": "conv", "width": 8, "depth": 1}], "tail": {"kernel": 3, "cascade": 0, "block": "conv", "activation": true}, "activation": "relu", "bias": true, "skip": "none", "residual": "bicubic", "stem_block": "conv", "stem_activation": true, "neck": "none", "inputs": "rgb", "output": "rgb"}, "origin": "sampler"}');
INSERT INTO "trial_user_attributes" VALUES(24,6,'outcome','{"outcome": "trained", "gain_db": 0.5, "gain_db_per_qp": {"31": 0.625, "63": 0.375}, "psnr_y_db": {"31": 22.5, "63": 21.5}, "runtime": {"ms": 1.1702100515392, "kind": "predicted", "target": "rtx4090", "backend": "", "device": ""}, "size": {"params": 4312, "macs": 2202163200, "memory_mb": 105.80072}, "curve": [{"step": 2, "gain_db": 0.125, "seconds": 1.0}, {"step": 4, "gain_db": 0.25, "seconds": 2.0}], "steps": 6, "seconds": 4.0, "weights": {"sha256": "0099a9d30a80dd3ec738d847d439f3fe6e1274106d43f667e4e866f4ddb0767d", "data": null, "file": "00005-ee56ebbdd91f.safetensors"}, "gain_cb_db": -1.5, "gain_cr_db": 0.0}');
INSERT INTO "trial_user_attributes" VALUES(25,7,'origin','"sampler"');
INSERT INTO "trial_user_attributes" VALUES(26,7,'run','"2d9c4856fd75"');
INSERT INTO "trial_user_attributes" VALUES(27,7,'candidate','{"trial": 6, "architecture": {"stem": "conv", "width": 12, "stages": [{"block": "conv", "width": 12, "depth": 3}], "tail": {"kernel": 3, "cascade": 0, "block": "conv", "activation": true}, "activation": "gelu", "bias": true, "skip": "none", "residual": "lanczos", "stem_block": "conv", "stem_activation": true, "neck": "none", "inputs": "rgb", "output": "rgb"}, "origin": "sampler"}');
INSERT INTO "trial_user_attributes" VALUES(28,7,'outcome','{"outcome": "rejected", "limit": "runtime_ms", "value": 1.61787807352224, "allowed": 1.5, "runtime": {"ms": 1.61787807352224, "kind": "predicted", "target": "rtx4090", "backend": "", "device": ""}, "size": {"params": 9492, "macs": 4870886400, "memory_mb": 105.831504}, "curve": [], "seconds": 0.25}');
INSERT INTO "trial_user_attributes" VALUES(29,8,'origin','"sampler"');
INSERT INTO "trial_user_attributes" VALUES(30,8,'run','"2d9c4856fd75"');
INSERT INTO "trial_user_attributes" VALUES(31,8,'candidate','{"trial": 7, "architecture": {"stem": "conv", "width": 16, "stages": [{"block": "conv", "width": 16, "depth": 1}], "tail": {"kernel": 3, "cascade": 0, "block": "conv", "activation": true}, "activation": "gelu", "bias": true, "skip": "none", "residual": "lanczos", "stem_block": "conv", "stem_activation": true, "neck": "none", "inputs": "rgb", "output": "rgb"}, "origin": "sampler"}');
INSERT INTO "trial_user_attributes" VALUES(32,8,'outcome','{"outcome": "rejected", "limit": "macs", "value": 5001523200, "allowed": 5000000000.0, "runtime": null, "size": {"params": 9728, "macs": 5001523200, "memory_mb": 105.831976}, "curve": [], "seconds": 0.25}');
INSERT INTO "trial_user_attributes" VALUES(33,9,'origin','"sampler"');
INSERT INTO "trial_user_attributes" VALUES(34,9,'run','"2d9c4856fd75"');
INSERT INTO "trial_user_attributes" VALUES(35,9,'candidate','{"trial": 8, "architecture": {"stem": "unshuffle2", "width": 12, "stages": [], "tail": {"kernel": 3, "cascade": 0, "block": "conv", "activation": true}, "activation": "gelu", "bias": true, "skip": "none", "residual": "lanczos", "stem_block": "conv", "stem_activation": true, "neck": "none", "inputs": "rgb", "output": "rgb"}, "origin": "sampler"}');
INSERT INTO "trial_user_attributes" VALUES(36,9,'outcome','{"outcome": "rejected", "limit": "memory_mb", "value": 105.876864, "allowed": 105.87, "runtime": null, "size": {"params": 22236, "macs": 2855347200, "memory_mb": 105.876864}, "curve": [], "seconds": 0.25}');
INSERT INTO "trial_user_attributes" VALUES(37,10,'origin','"sampler"');
INSERT INTO "trial_user_attributes" VALUES(38,10,'run','"2d9c4856fd75"');
INSERT INTO "trial_user_attributes" VALUES(39,10,'candidate','{"trial": 9, "architecture": {"stem": "unshuffle2", "width": 12, "stages": [{"block": "conv", "width": 12, "depth": 2}], "tail": {"kernel": 3, "cascade": 0, "block": "conv", "activation": true}, "activation": "gelu", "bias": true, "skip": "none", "residual": "lanczos", "stem_block": "conv", "stem_activation": true, "neck": "none", "inputs": "rgb", "output": "rgb"}, "origin": "sampler"}');
INSERT INTO "trial_user_attributes" VALUES(40,10,'outcome','{"outcome": "rejected", "limit": "params", "value": 24852, "allowed": 24000.0, "runtime": null, "size": {"params": 24852, "macs": 3191270400, "memory_mb": 105.882096}, "curve": [], "seconds": 0.25}');
INSERT INTO "trial_user_attributes" VALUES(41,11,'origin','"sampler"');
INSERT INTO "trial_user_attributes" VALUES(42,11,'run','"2d9c4856fd75"');
INSERT INTO "trial_user_attributes" VALUES(43,11,'candidate','{"trial": 10, "architecture": {"stem": "conv", "width": 8, "stages": [{"block": "conv", "width": 8, "depth": 2}], "tail": {"kernel": 3, "cascade": 0, "block": "conv", "activation": true}, "activation": "gelu", "bias": true, "skip": "none", "residual": "lanczos", "stem_block": "conv", "stem_activation": true, "neck": "none", "inputs": "rgb", "output": "rgb"}, "origin": "sampler"}');
INSERT INTO "trial_user_attributes" VALUES(44,11,'outcome','{"outcome": "rejected", "limit": "rung", "value": 0.03125, "allowed": 0.0625, "runtime": {"ms": 1.3159278301560002, "kind": "predicted", "target": "rtx4090", "backend": "", "device": ""}, "size": {"params": 4896, "macs": 2500761600, "memory_mb": 105.822312}, "curve": [{"step": 2, "gain_db": 0.0, "seconds": 1.0}, {"step": 4, "gain_db": 0.03125, "seconds": 2.0}], "seconds": 2.0}');
INSERT INTO "trial_user_attributes" VALUES(45,12,'origin','"sampler"');
INSERT INTO "trial_user_attributes" VALUES(46,12,'run','"2d9c4856fd75"');
INSERT INTO "trial_user_attributes" VALUES(47,12,'candidate','{"trial": 11, "architecture": {"stem": "conv", "width": 8, "stages": [{"block": "conv", "width": 8, "depth": 2}], "tail": {"kernel": 3, "cascade": 0, "block": "conv", "activation": true}, "activation": "relu", "bias": true, "skip": "none", "residual": "none", "stem_block": "conv", "stem_activation": true, "neck": "none", "inputs": "rgb", "output": "rgb"}, "origin": "sampler"}');
INSERT INTO "trial_user_attributes" VALUES(48,12,'outcome','{"outcome": "broken", "kind": "diverged", "reason": "the loss was not finite at step 3", "runtime": {"ms": 0.6346435868476801, "kind": "predicted", "target": "rtx4090", "backend": "", "device": ""}, "size": {"params": 4896, "macs": 2500761600, "memory_mb": 102.652992}, "seconds": 1.5}');
INSERT INTO "trial_user_attributes" VALUES(49,13,'origin','"sampler"');
INSERT INTO "trial_user_attributes" VALUES(50,13,'run','"2d9c4856fd75"');
INSERT INTO "trial_user_attributes" VALUES(51,13,'candidate','{"trial": 12, "architecture": {"stem": "conv", "width": 8, "stages": [{"block": "conv", "width": 8, "depth": 3}], "tail": {"kernel": 3, "cascade": 0, "block": "conv", "activation": true}, "activation": "relu", "bias": true, "skip": "none", "residual": "none", "stem_block": "conv", "stem_activation": true, "neck": "none", "inputs": "rgb", "output": "rgb"}, "origin": "sampler"}');
INSERT INTO "trial_user_attributes" VALUES(52,13,'outcome','{"outcome": "broken", "kind": "cannot_build", "reason": "the block cannot be built", "runtime": null, "size": null, "seconds": 1.5}');
INSERT INTO "trial_user_attributes" VALUES(53,14,'origin','"sampler"');
INSERT INTO "trial_user_attributes" VALUES(54,14,'run','"2d9c4856fd75"');
INSERT INTO "trial_user_attributes" VALUES(55,14,'candidate','{"trial": 13, "architecture": {"stem": "conv", "width": 8, "stages": [{"block": "conv", "width": 8, "depth": 3}], "tail": {"kernel": 3, "cascade": 0, "block": "conv", "activation": true}, "activation": "relu", "bias": true, "skip": "none", "residual": "bicubic", "stem_block": "conv", "stem_activation": true, "neck": "none", "inputs": "rgb", "output": "rgb"}, "origin": "sampler"}');
INSERT INTO "trial_user_attributes" VALUES(56,14,'outcome','{"outcome": "broken", "kind": "out_of_memory", "reason": "it asked for too much memory", "runtime": {"ms": 1.3457601998758402, "kind": "predicted", "target": "rtx4090", "backend": "", "device": ""}, "size": {"params": 5480, "macs": 2799360000, "memory_mb": 105.803056}, "seconds": 1.5}');
INSERT INTO "trial_user_attributes" VALUES(57,15,'origin','"sampler"');
INSERT INTO "trial_user_attributes" VALUES(58,15,'run','"2d9c4856fd75"');
INSERT INTO "trial_user_attributes" VALUES(59,15,'candidate','{"trial": 14, "architecture": {"stem": "conv", "width": 8, "stages": [{"block": "ecb", "width": 8, "depth": 3}], "tail": {"kernel": 3, "cascade": 0, "block": "conv", "activation": true}, "activation": "relu", "bias": true, "skip": "none", "residual": "lanczos", "stem_block": "conv", "stem_activation": true, "neck": "none", "inputs": "rgb", "output": "rgb"}, "origin": "sampler"}');
INSERT INTO "trial_user_attributes" VALUES(60,15,'outcome','{"outcome": "broken", "kind": "time_limit", "reason": "it took longer than 3600 s", "runtime": {"ms": 1.40370290432432, "kind": "predicted", "target": "rtx4090", "backend": "", "device": ""}, "size": {"params": 5480, "macs": 2799360000, "memory_mb": 105.82348}, "seconds": 1.5}');
INSERT INTO "trial_user_attributes" VALUES(61,16,'origin','"sampler"');
INSERT INTO "trial_user_attributes" VALUES(62,16,'run','"2d9c4856fd75"');
INSERT INTO "trial_user_attributes" VALUES(63,16,'candidate','{"trial": 15, "architecture": {"stem": "conv", "width": 8, "stages": [{"block": "conv", "width": 8, "depth": 2}], "tail": {"kernel": 3, "cascade": 0, "block": "conv", "activation": true}, "activation": "relu", "bias": true, "skip": "none", "residual": "bicubic", "stem_block": "conv", "stem_activation": true, "neck": "none", "inputs": "rgb", "output": "rgb"}, "origin": "sampler"}');
INSERT INTO "trial_user_attributes" VALUES(64,16,'outcome','{"outcome": "broken", "kind": "error", "reason": "its process died: killed", "runtime": {"ms": 1.25798512570752, "kind": "predicted", "target": "rtx4090", "backend": "", "device": ""}, "size": {"params": 4896, "macs": 2500761600, "memory_mb": 105.801888}, "seconds": 1.5}');
INSERT INTO "trial_user_attributes" VALUES(65,17,'origin','"sampler"');
INSERT INTO "trial_user_attributes" VALUES(66,17,'run','"2d9c4856fd75"');
INSERT INTO "trial_user_attributes" VALUES(67,17,'candidate','{"trial": 16, "architecture": {"stem": "conv", "width": 8, "stages": [{"block": "conv", "width": 8, "depth": 1}], "tail": {"kernel": 3, "cascade": 0, "block": "conv", "activation": true}, "activation": "relu", "bias": true, "skip": "none", "residual": "lanczos", "stem_block": "conv", "stem_activation": true, "neck": "none", "inputs": "rgb", "output": "rgb"}, "origin": "sampler"}');
INSERT INTO "trial_user_attributes" VALUES(68,17,'duplicate_of','1');
INSERT INTO "trial_user_attributes" VALUES(69,17,'outcome','{"outcome": "trained", "gain_db": 0.25, "gain_db_per_qp": {"31": 0.375, "63": 0.125}, "psnr_y_db": {"31": 22.25, "63": 21.25}, "runtime": {"ms": 1.2281527559876801, "kind": "predicted", "target": "rtx4090", "backend": "", "device": ""}, "size": {"params": 4312, "macs": 2202163200, "memory_mb": 105.821144}, "curve": [{"step": 2, "gain_db": 0.0625, "seconds": 1.0}, {"step": 4, "gain_db": 0.125, "seconds": 2.0}], "steps": 6, "seconds": 4.0, "weights": {"sha256": "211b8c4d6b21299b08b1cfcdb2f655623a6b9253b0316ec734fbd2f276438e56", "data": null, "file": "00001-5512ab337b1e.safetensors"}, "gain_cb_db": 0.125, "gain_cr_db": 0.0625}');
INSERT INTO "trial_user_attributes" VALUES(70,18,'run','"2d9c4856fd75"');
INSERT INTO "trial_user_attributes" VALUES(71,18,'candidate','{"trial": 17, "architecture": {"stem": "unshuffle2", "width": 12, "stages": [{"block": "conv", "width": 12, "depth": 1}], "tail": {"kernel": 3, "cascade": 0, "block": "conv", "activation": true}, "activation": "relu", "bias": true, "skip": "none", "residual": "none", "stem_block": "conv", "stem_activation": true, "neck": "none", "inputs": "rgb", "output": "rgb"}, "origin": "sampler"}');
INSERT INTO "trial_user_attributes" VALUES(72,19,'origin','"sampler"');
INSERT INTO "trial_user_attributes" VALUES(73,19,'retry_of','17');
INSERT INTO "trial_user_attributes" VALUES(74,19,'cut_off','0');
INSERT INTO "trial_user_attributes" VALUES(75,20,'origin','"sampler"');
INSERT INTO "trial_user_attributes" VALUES(76,21,'origin','"sampler"');
INSERT INTO "trial_user_attributes" VALUES(77,19,'run','"9e8694efcb07"');
INSERT INTO "trial_user_attributes" VALUES(78,19,'candidate','{"trial": 18, "architecture": {"stem": "unshuffle2", "width": 12, "stages": [{"block": "conv", "width": 12, "depth": 1}], "tail": {"kernel": 3, "cascade": 0, "block": "conv", "activation": true}, "activation": "relu", "bias": true, "skip": "none", "residual": "none", "stem_block": "conv", "stem_activation": true, "neck": "none", "inputs": "rgb", "output": "rgb"}, "origin": "sampler"}');
INSERT INTO "trial_user_attributes" VALUES(79,22,'origin','"random"');
INSERT INTO "trial_user_attributes" VALUES(80,23,'origin','"sampler"');
INSERT INTO "trial_user_attributes" VALUES(81,20,'run','"9e8694efcb07"');
INSERT INTO "trial_user_attributes" VALUES(82,20,'candidate','{"trial": 19, "architecture": {"stem": "conv", "width": 8, "stages": [], "tail": {"kernel": 3, "cascade": 0, "block": "conv", "activation": true}, "activation": "relu", "bias": true, "skip": "none", "residual": "lanczos", "stem_block": "conv", "stem_activation": true, "neck": "none", "inputs": "rgb", "output": "rgb"}, "origin": "sampler"}');
INSERT INTO "trial_user_attributes" VALUES(83,20,'duplicate_of','0');
INSERT INTO "trial_user_attributes" VALUES(84,20,'outcome','{"outcome": "trained", "gain_db": 0.0625, "gain_db_per_qp": {"31": 0.1875, "63": -0.0625}, "psnr_y_db": {"31": 22.0625, "63": 21.0625}, "runtime": {"ms": 1.14037768181936, "kind": "predicted", "target": "rtx4090", "backend": "", "device": ""}, "size": {"params": 3728, "macs": 1903564800, "memory_mb": 105.819976}, "curve": [{"step": 2, "gain_db": 0.015625, "seconds": 1.0}, {"step": 4, "gain_db": 0.03125, "seconds": 2.0}], "steps": 6, "seconds": 4.0, "weights": {"sha256": "7bab11555f9b005485e8ab06db456e0a7ded39fc5d44aa6f6f7f57557766f3c2", "data": null, "file": "00000-56decb2f0864.safetensors"}, "gain_cb_db": 0.125, "gain_cr_db": 0.0625}');
INSERT INTO "trial_user_attributes" VALUES(85,21,'run','"9e8694efcb07"');
INSERT INTO "trial_user_attributes" VALUES(86,21,'candidate','{"trial": 20, "architecture": {"stem": "conv", "width": 8, "stages": [], "tail": {"kernel": 3, "cascade": 0, "block": "conv", "activation": true}, "activation": "relu", "bias": true, "skip": "none", "residual": "bicubic", "stem_block": "conv", "stem_activation": true, "neck": "none", "inputs": "rgb", "output": "rgb"}, "origin": "sampler"}');
INSERT INTO "trial_user_attributes" VALUES(87,19,'outcome','{"outcome": "trained", "gain_db": 0.03125, "gain_db_per_qp": {"31": 0.15625, "63": -0.09375}, "psnr_y_db": {"31": 22.03125, "63": 21.03125}, "runtime": {"ms": 0.48958838397056004, "kind": "predicted", "target": "rtx4090", "backend": "", "device": ""}, "size": {"params": 23544, "macs": 3023308800, "memory_mb": 102.690288}, "curve": [{"step": 2, "gain_db": 0.0078125, "seconds": 1.0}, {"step": 4, "gain_db": 0.015625, "seconds": 2.0}], "steps": 6, "seconds": 4.0, "weights": {"sha256": "8d21db37e1d0819073c82e591b73471c95974f6a51398207fdf9b98e090b1533", "data": null, "file": "00018-8d6857c26e7f.safetensors"}, "gain_cb_db": 0.125, "gain_cr_db": 0.0625}');
INSERT INTO "trial_user_attributes" VALUES(88,24,'origin','"sampler"');
INSERT INTO "trial_user_attributes" VALUES(89,24,'retry_of','20');
INSERT INTO "trial_user_attributes" VALUES(90,24,'cut_off','0');
INSERT INTO "trial_user_attributes" VALUES(91,22,'run','"3bcae90d759e"');
INSERT INTO "trial_user_attributes" VALUES(92,22,'candidate','{"trial": 21, "architecture": {"stem": "conv", "width": 8, "stages": [], "tail": {"kernel": 3, "cascade": 0, "block": "conv", "activation": true}, "activation": "relu", "bias": true, "skip": "none", "residual": "bicubic", "stem_block": "conv", "stem_activation": true, "neck": "none", "inputs": "rgb", "output": "rgb"}, "origin": "random"}');
INSERT INTO "trial_user_attributes" VALUES(93,22,'outcome','{"outcome": "broken", "kind": "diverged", "reason": "gain nan", "runtime": {"ms": 1.0824349773708801, "kind": "predicted", "target": "rtx4090", "backend": "", "device": ""}, "size": {"params": 3728, "macs": 1903564800, "memory_mb": 105.799552}, "seconds": 1.0}');
INSERT INTO "trial_user_attributes" VALUES(94,23,'run','"0de01dec3dde"');
INSERT INTO "trial_user_attributes" VALUES(95,23,'candidate','{"trial": 22, "architecture": {"stem": "conv", "width": 8, "stages": [], "tail": {"kernel": 3, "cascade": 0, "block": "conv", "activation": true}, "activation": "relu", "bias": true, "skip": "none", "residual": "none", "stem_block": "conv", "stem_activation": true, "neck": "none", "inputs": "rgb", "output": "rgb"}, "origin": "sampler"}');
INSERT INTO "trial_user_attributes" VALUES(96,25,'origin','"sampler"');
INSERT INTO "trial_user_attributes" VALUES(97,25,'retry_of','22');
INSERT INTO "trial_user_attributes" VALUES(98,25,'cut_off','1');
INSERT INTO "trial_user_attributes" VALUES(99,24,'run','"cfcdc649dcbd"');
INSERT INTO "trial_user_attributes" VALUES(100,24,'candidate','{"trial": 23, "architecture": {"stem": "conv", "width": 8, "stages": [], "tail": {"kernel": 3, "cascade": 0, "block": "conv", "activation": true}, "activation": "relu", "bias": true, "skip": "none", "residual": "bicubic", "stem_block": "conv", "stem_activation": true, "neck": "none", "inputs": "rgb", "output": "rgb"}, "origin": "sampler"}');
INSERT INTO "trial_user_attributes" VALUES(101,24,'duplicate_of','21');
INSERT INTO "trial_user_attributes" VALUES(102,24,'outcome','{"outcome": "broken", "kind": "diverged", "reason": "gain nan", "runtime": {"ms": 1.0824349773708801, "kind": "predicted", "target": "rtx4090", "backend": "", "device": ""}, "size": {"params": 3728, "macs": 1903564800, "memory_mb": 105.799552}, "seconds": 1.0}');
INSERT INTO "trial_user_attributes" VALUES(103,25,'run','"cfcdc649dcbd"');
INSERT INTO "trial_user_attributes" VALUES(104,25,'candidate','{"trial": 24, "architecture": {"stem": "conv", "width": 8, "stages": [], "tail": {"kernel": 3, "cascade": 0, "block": "conv", "activation": true}, "activation": "relu", "bias": true, "skip": "none", "residual": "none", "stem_block": "conv", "stem_activation": true, "neck": "none", "inputs": "rgb", "output": "rgb"}, "origin": "sampler"}');
INSERT INTO "trial_user_attributes" VALUES(105,25,'outcome','{"outcome": "trained", "gain_db": 0.03125, "gain_db_per_qp": {"31": 0.15625, "63": -0.09375}, "psnr_y_db": {"31": 22.03125, "63": 21.03125}, "runtime": {"ms": 0.45909343851104, "kind": "predicted", "target": "rtx4090", "backend": "", "device": ""}, "size": {"params": 3728, "macs": 1903564800, "memory_mb": 102.650656}, "curve": [{"step": 2, "gain_db": 0.0078125, "seconds": 1.0}, {"step": 4, "gain_db": 0.015625, "seconds": 2.0}], "steps": 6, "seconds": 4.0, "weights": {"sha256": "892fadae5e50f298760438dc41f7ba2c67976ee2d382ed7fd486c58dfed55eba", "data": null, "file": "00024-a5fa3de31f44.safetensors"}, "gain_cb_db": 0.125, "gain_cr_db": 0.0625}');
INSERT INTO "trial_user_attributes" VALUES(106,26,'origin','"sampler"');
INSERT INTO "trial_user_attributes" VALUES(107,26,'run','"20defc3c5e10"');
INSERT INTO "trial_user_attributes" VALUES(108,26,'candidate','{"trial": 25, "architecture": {"stem": "conv", "width": 12, "stages": [], "tail": {"kernel": 3, "cascade": 0, "block": "conv", "activation": true}, "activation": "gelu", "bias": true, "skip": "none", "residual": "none", "stem_block": "conv", "stem_activation": true, "neck": "none", "inputs": "rgb", "output": "rgb"}, "origin": "sampler"}');
INSERT INTO "trial_user_attributes" VALUES(109,27,'origin','"sampler"');
INSERT INTO "trial_user_attributes" VALUES(110,27,'retry_of','25');
INSERT INTO "trial_user_attributes" VALUES(111,27,'cut_off','1');
INSERT INTO "trial_user_attributes" VALUES(112,27,'run','"23c1fe882482"');
INSERT INTO "trial_user_attributes" VALUES(113,27,'candidate','{"trial": 26, "architecture": {"stem": "conv", "width": 12, "stages": [], "tail": {"kernel": 3, "cascade": 0, "block": "conv", "activation": true}, "activation": "gelu", "bias": true, "skip": "none", "residual": "none", "stem_block": "conv", "stem_activation": true, "neck": "none", "inputs": "rgb", "output": "rgb"}, "origin": "sampler"}');
INSERT INTO "trial_user_attributes" VALUES(114,28,'origin','"sampler"');
INSERT INTO "trial_user_attributes" VALUES(115,28,'retry_of','26');
INSERT INTO "trial_user_attributes" VALUES(116,28,'cut_off','2');
INSERT INTO "trial_user_attributes" VALUES(117,28,'run','"a6dd7815edb2"');
INSERT INTO "trial_user_attributes" VALUES(118,28,'candidate','{"trial": 27, "architecture": {"stem": "conv", "width": 12, "stages": [], "tail": {"kernel": 3, "cascade": 0, "block": "conv", "activation": true}, "activation": "gelu", "bias": true, "skip": "none", "residual": "none", "stem_block": "conv", "stem_activation": true, "neck": "none", "inputs": "rgb", "output": "rgb"}, "origin": "sampler"}');
INSERT INTO "trial_user_attributes" VALUES(119,29,'origin','"sampler"');
INSERT INTO "trial_user_attributes" VALUES(120,29,'retry_of','27');
INSERT INTO "trial_user_attributes" VALUES(121,29,'cut_off','3');
INSERT INTO "trial_user_attributes" VALUES(122,29,'run','"3e1769f4b5f1"');
INSERT INTO "trial_user_attributes" VALUES(123,29,'candidate','{"trial": 28, "architecture": {"stem": "conv", "width": 12, "stages": [], "tail": {"kernel": 3, "cascade": 0, "block": "conv", "activation": true}, "activation": "gelu", "bias": true, "skip": "none", "residual": "none", "stem_block": "conv", "stem_activation": true, "neck": "none", "inputs": "rgb", "output": "rgb"}, "origin": "sampler"}');
INSERT INTO "trial_user_attributes" VALUES(124,30,'origin','"sampler"');
INSERT INTO "trial_user_attributes" VALUES(125,30,'retry_of','28');
INSERT INTO "trial_user_attributes" VALUES(126,30,'cut_off','4');
INSERT INTO "trial_user_attributes" VALUES(127,30,'run','"e41ae9ff972c"');
INSERT INTO "trial_user_attributes" VALUES(128,30,'candidate','{"trial": 29, "architecture": {"stem": "conv", "width": 12, "stages": [], "tail": {"kernel": 3, "cascade": 0, "block": "conv", "activation": true}, "activation": "gelu", "bias": true, "skip": "none", "residual": "none", "stem_block": "conv", "stem_activation": true, "neck": "none", "inputs": "rgb", "output": "rgb"}, "origin": "sampler"}');
INSERT INTO "trial_user_attributes" VALUES(129,31,'origin','"sampler"');
INSERT INTO "trial_user_attributes" VALUES(130,31,'retry_of','29');
INSERT INTO "trial_user_attributes" VALUES(131,31,'cut_off','5');
INSERT INTO "trial_user_attributes" VALUES(132,31,'run','"12682caddf39"');
INSERT INTO "trial_user_attributes" VALUES(133,31,'candidate','{"trial": 30, "architecture": {"stem": "conv", "width": 12, "stages": [], "tail": {"kernel": 3, "cascade": 0, "block": "conv", "activation": true}, "activation": "gelu", "bias": true, "skip": "none", "residual": "none", "stem_block": "conv", "stem_activation": true, "neck": "none", "inputs": "rgb", "output": "rgb"}, "origin": "sampler"}');
INSERT INTO "trial_user_attributes" VALUES(134,31,'outcome','{"outcome": "broken", "kind": "error", "reason": "the run was cut off 5 times while it was being evaluated", "runtime": null, "size": null, "seconds": 0.0}');
INSERT INTO "trial_user_attributes" VALUES(135,32,'run','"12682caddf39"');
INSERT INTO "trial_user_attributes" VALUES(136,32,'candidate','{"trial": 31, "architecture": {"stem": "conv", "width": 12, "stages": [{"block": "conv", "width": 12, "depth": 2}], "tail": {"kernel": 3, "cascade": 0, "block": "conv", "activation": true}, "activation": "relu", "bias": true, "skip": "none", "residual": "none", "stem_block": "conv", "stem_activation": true, "neck": "none", "inputs": "rgb", "output": "rgb"}, "origin": "sampler"}');
INSERT INTO "trial_user_attributes" VALUES(137,32,'outcome','{"outcome": "trained", "gain_db": 0.015625, "gain_db_per_qp": {"31": 0.140625, "63": -0.109375}, "psnr_y_db": {"31": 22.015625, "63": 21.015625}, "runtime": {"ms": 0.7988914442088, "kind": "predicted", "target": "rtx4090", "backend": "", "device": ""}, "size": {"params": 8184, "macs": 4199040000, "memory_mb": 102.659568}, "curve": [{"step": 2, "gain_db": 0.00390625, "seconds": 1.0}, {"step": 4, "gain_db": 0.0078125, "seconds": 2.0}], "steps": 6, "seconds": 4.0, "weights": {"sha256": "6d78df87110050c19610603be4fd5b93117a3afbf6ea7de7da22c61f0ca8bc22", "data": null, "file": "00031-0497e89f6153.safetensors"}, "gain_cb_db": 0.125, "gain_cr_db": 0.0625}');
INSERT INTO "trial_user_attributes" VALUES(138,33,'origin','"sampler"');
INSERT INTO "trial_user_attributes" VALUES(139,33,'run','"08facc84231b"');
INSERT INTO "trial_user_attributes" VALUES(140,33,'candidate','{"trial": 32, "architecture": {"stem": "conv", "width": 8, "stages": [], "tail": {"kernel": 3, "cascade": 0, "block": "conv", "activation": true}, "activation": "gelu", "bias": true, "skip": "none", "residual": "none", "stem_block": "conv", "stem_activation": true, "neck": "none", "inputs": "rgb", "output": "rgb"}, "origin": "sampler"}');
CREATE TABLE trial_values (
	trial_value_id INTEGER NOT NULL, 
	trial_id INTEGER NOT NULL, 
	objective INTEGER NOT NULL, 
	value FLOAT, 
	value_type VARCHAR(7) NOT NULL, 
	PRIMARY KEY (trial_value_id), 
	UNIQUE (trial_id, objective), 
	FOREIGN KEY(trial_id) REFERENCES trials (trial_id)
);
INSERT INTO "trial_values" VALUES(1,1,0,0.0625,'FINITE');
INSERT INTO "trial_values" VALUES(2,1,1,1.31359507380273604626e-01,'FINITE');
INSERT INTO "trial_values" VALUES(3,2,0,0.25,'FINITE');
INSERT INTO "trial_values" VALUES(4,2,1,2.05511216115418254846e-01,'FINITE');
INSERT INTO "trial_values" VALUES(5,3,0,0.375,'FINITE');
INSERT INTO "trial_values" VALUES(6,3,1,2.74541991092350112779e-01,'FINITE');
INSERT INTO "trial_values" VALUES(7,4,0,0.1875,'FINITE');
INSERT INTO "trial_values" VALUES(8,4,1,2.05511216115418254846e-01,'FINITE');
INSERT INTO "trial_values" VALUES(9,5,0,-0.125,'FINITE');
INSERT INTO "trial_values" VALUES(10,5,1,-6.03546884469788658122e-01,'FINITE');
INSERT INTO "trial_values" VALUES(11,6,0,0.5,'FINITE');
INSERT INTO "trial_values" VALUES(12,6,1,1.57183263925947530603e-01,'FINITE');
INSERT INTO "trial_values" VALUES(13,17,0,0.25,'FINITE');
INSERT INTO "trial_values" VALUES(14,17,1,2.05511216115418254846e-01,'FINITE');
INSERT INTO "trial_values" VALUES(15,20,0,0.0625,'FINITE');
INSERT INTO "trial_values" VALUES(16,20,1,1.31359507380273604626e-01,'FINITE');
INSERT INTO "trial_values" VALUES(17,19,0,0.03125,'FINITE');
INSERT INTO "trial_values" VALUES(18,19,1,-7.14190273615802784235e-01,'FINITE');
INSERT INTO "trial_values" VALUES(19,25,0,0.03125,'FINITE');
INSERT INTO "trial_values" VALUES(20,25,1,-7.78501519898272098529e-01,'FINITE');
INSERT INTO "trial_values" VALUES(21,32,0,0.015625,'FINITE');
INSERT INTO "trial_values" VALUES(22,32,1,-2.24530207016001265296e-01,'FINITE');
CREATE TABLE trials (
	trial_id INTEGER NOT NULL, 
	number INTEGER, 
	study_id INTEGER, 
	state VARCHAR(8) NOT NULL, 
	datetime_start DATETIME, 
	datetime_complete DATETIME, 
	PRIMARY KEY (trial_id), 
	FOREIGN KEY(study_id) REFERENCES studies (study_id)
);
INSERT INTO "trials" VALUES(1,0,1,'COMPLETE','2026-01-01 00:00:00.000000','2026-01-01 00:00:30.000000');
INSERT INTO "trials" VALUES(2,1,1,'COMPLETE','2026-01-01 00:01:00.000000','2026-01-01 00:01:30.000000');
INSERT INTO "trials" VALUES(3,2,1,'COMPLETE','2026-01-01 00:02:00.000000','2026-01-01 00:02:30.000000');
INSERT INTO "trials" VALUES(4,3,1,'COMPLETE','2026-01-01 00:03:00.000000','2026-01-01 00:03:30.000000');
INSERT INTO "trials" VALUES(5,4,1,'COMPLETE','2026-01-01 00:04:00.000000','2026-01-01 00:04:30.000000');
INSERT INTO "trials" VALUES(6,5,1,'COMPLETE','2026-01-01 00:05:00.000000','2026-01-01 00:05:30.000000');
INSERT INTO "trials" VALUES(7,6,1,'PRUNED','2026-01-01 00:06:00.000000','2026-01-01 00:06:30.000000');
INSERT INTO "trials" VALUES(8,7,1,'PRUNED','2026-01-01 00:07:00.000000','2026-01-01 00:07:30.000000');
INSERT INTO "trials" VALUES(9,8,1,'PRUNED','2026-01-01 00:08:00.000000','2026-01-01 00:08:30.000000');
INSERT INTO "trials" VALUES(10,9,1,'PRUNED','2026-01-01 00:09:00.000000','2026-01-01 00:09:30.000000');
INSERT INTO "trials" VALUES(11,10,1,'PRUNED','2026-01-01 00:10:00.000000','2026-01-01 00:10:30.000000');
INSERT INTO "trials" VALUES(12,11,1,'PRUNED','2026-01-01 00:11:00.000000','2026-01-01 00:11:30.000000');
INSERT INTO "trials" VALUES(13,12,1,'PRUNED','2026-01-01 00:12:00.000000','2026-01-01 00:12:30.000000');
INSERT INTO "trials" VALUES(14,13,1,'PRUNED','2026-01-01 00:13:00.000000','2026-01-01 00:13:30.000000');
INSERT INTO "trials" VALUES(15,14,1,'PRUNED','2026-01-01 00:14:00.000000','2026-01-01 00:14:30.000000');
INSERT INTO "trials" VALUES(16,15,1,'PRUNED','2026-01-01 00:15:00.000000','2026-01-01 00:15:30.000000');
INSERT INTO "trials" VALUES(17,16,1,'COMPLETE','2026-01-01 00:16:00.000000','2026-01-01 00:16:30.000000');
INSERT INTO "trials" VALUES(18,17,1,'FAIL','2026-01-01 00:17:00.000000','2026-01-01 00:17:30.000000');
INSERT INTO "trials" VALUES(19,18,1,'COMPLETE','2026-01-01 00:18:00.000000','2026-01-01 00:18:30.000000');
INSERT INTO "trials" VALUES(20,19,1,'COMPLETE','2026-01-01 00:19:00.000000','2026-01-01 00:19:30.000000');
INSERT INTO "trials" VALUES(21,20,1,'FAIL','2026-01-01 00:20:00.000000','2026-01-01 00:20:30.000000');
INSERT INTO "trials" VALUES(22,21,1,'PRUNED','2026-01-01 00:21:00.000000','2026-01-01 00:21:30.000000');
INSERT INTO "trials" VALUES(23,22,1,'FAIL','2026-01-01 00:22:00.000000','2026-01-01 00:22:30.000000');
INSERT INTO "trials" VALUES(24,23,1,'PRUNED','2026-01-01 00:23:00.000000','2026-01-01 00:23:30.000000');
INSERT INTO "trials" VALUES(25,24,1,'COMPLETE','2026-01-01 00:24:00.000000','2026-01-01 00:24:30.000000');
INSERT INTO "trials" VALUES(26,25,1,'FAIL','2026-01-01 00:25:00.000000','2026-01-01 00:25:30.000000');
INSERT INTO "trials" VALUES(27,26,1,'FAIL','2026-01-01 00:26:00.000000','2026-01-01 00:26:30.000000');
INSERT INTO "trials" VALUES(28,27,1,'FAIL','2026-01-01 00:27:00.000000','2026-01-01 00:27:30.000000');
INSERT INTO "trials" VALUES(29,28,1,'FAIL','2026-01-01 00:28:00.000000','2026-01-01 00:28:30.000000');
INSERT INTO "trials" VALUES(30,29,1,'FAIL','2026-01-01 00:29:00.000000','2026-01-01 00:29:30.000000');
INSERT INTO "trials" VALUES(31,30,1,'PRUNED','2026-01-01 00:30:00.000000','2026-01-01 00:30:30.000000');
INSERT INTO "trials" VALUES(32,31,1,'COMPLETE','2026-01-01 00:31:00.000000','2026-01-01 00:31:30.000000');
INSERT INTO "trials" VALUES(33,32,1,'RUNNING','2026-01-01 00:32:00.000000',NULL);
CREATE TABLE version_info (
	version_info_id INTEGER NOT NULL, 
	schema_version INTEGER, 
	library_version VARCHAR(256), 
	PRIMARY KEY (version_info_id), 
	CHECK (version_info_id=1)
);
INSERT INTO "version_info" VALUES(1,12,'5.0.0');
CREATE UNIQUE INDEX ix_studies_study_name ON studies (study_name);
CREATE INDEX ix_trials_study_id ON trials (study_id);
COMMIT;
