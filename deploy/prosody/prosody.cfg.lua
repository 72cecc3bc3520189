-- The Aegis message broker: TLS only, SCRAM only, no registration, no other servers.
data_path = "/var/lib/prosody"
pidfile = "/var/lib/prosody/prosody.pid"
log = { { levels = { min = "info" }, to = "console" } }

modules_enabled = { "roster", "saslauth", "tls", "disco", "ping", "smacks", "http_file_share" }
modules_disabled = { "s2s", "offline" }
plugin_paths = {}

interfaces = { "*", "::" }
c2s_ports = { 5222 }
c2s_direct_tls_ports = {}
s2s_ports = {}
http_ports = {}
http_interfaces = {}
https_ports = { 5281 }
https_interfaces = { "*", "::" }
component_ports = {}

ssl = { certificate = "/run/aegis/server.pem", key = "/run/aegis/server.pem", protocol = "tlsv1_2+" }
c2s_ssl = { certificate = "/run/aegis/server.pem", key = "/run/aegis/server.pem", protocol = "tlsv1_2+" }
https_ssl = { certificate = "/run/aegis/server.pem", key = "/run/aegis/server.pem", protocol = "tlsv1_2+" }
c2s_require_encryption = true
allow_unencrypted_plain_auth = false
authentication = "internal_hashed"
password_hash = "SHA-256"
disable_sasl_mechanisms = { "PLAIN", "DIGEST-MD5", "OAUTHBEARER", "ANONYMOUS", "EXTERNAL" }
allow_registration = false
storage = "internal"

-- a pause after each partial TLS read would cost 80 % of the rate, Nagle's wait 40 ms each way
network_settings = { min_wait = 0, nagle = false }
network_default_read_size = 262144
c2s_stanza_size_limit = 524288
c2s_timeout = 30 -- a peer that does not finish its login is put out
smacks_hibernation_time = 60
smacks_max_queue_size = 200

http_file_share_size_limit = 268435456
http_file_share_daily_quota = 1099511627776
http_file_share_expires_after = 86400
http_max_content_size = 65536 -- what is larger goes to the disk as it comes, not through memory
http_max_buffer_size = 1048576
http_external_url = "https://xmpp:5281/"
http_default_host = "xmpp"

VirtualHost "xmpp"
