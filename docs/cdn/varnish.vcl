# Varnish in front of a Headwater origin: varnishd -f /path/to/varnish.vcl -a :80 -s malloc,8g
# To be changed: the origin's address, who may purge. Start the origin with --surrogate-keys surrogate-key.
# Written for Varnish 6.0 and later. Tested with 7.1.
vcl 4.1;

import std;

backend headwater {
    .host = "127.0.0.1";
    .port = "7080";
    .connect_timeout = 1s;
    # Longer than any hold: hold_max_ms + prefer_wait_ms, and some.
    .first_byte_timeout = 15s;
    .between_bytes_timeout = 15s;
}

acl operators {
    "127.0.0.1";
    "::1";
}

sub vcl_recv {
    # BAN with `Headwater-Keys: e/game7 r/v1080 n/1042` forgets what has all of these keys.
    if (req.method == "BAN") {
        if (!client.ip ~ operators) {
            return (synth(403, "Not yours to purge"));
        }
        if (req.http.Headwater-Keys !~ "^[A-Za-z0-9._/-]+( [A-Za-z0-9._/-]+)*$") {
            return (synth(400, "Name keys as in Headwater-Keys: e/game7 n/1042"));
        }
        # Each key becomes one condition. A dot in a name is a dot.
        set req.http.Headwater-Keys = regsuball(req.http.Headwater-Keys, "\.", "[.]");
        set req.http.Headwater-Keys = regsuball(req.http.Headwater-Keys, "([^ ]+)", "obj.http.X-Keys ~ \|\1\|");
        set req.http.Headwater-Keys = regsuball(req.http.Headwater-Keys, " obj", " && obj");
        set req.http.Headwater-Keys = regsuball(req.http.Headwater-Keys, "\|", "[|]");
        ban(req.http.Headwater-Keys);
        return (synth(200, "Purged"));
    }
    if (req.method != "GET" && req.method != "HEAD") {
        return (pass);
    }
    # Edges learn of changes here. Never cached, and held for 25 s.
    if (req.url ~ "^/[^/]+/[^/]+/event\.json(\?|$)") {
        return (pass);
    }
    return (hash);
}

# Without the query, so that CMCD never makes a second copy. It still reaches the origin on a miss.
sub vcl_hash {
    hash_data(regsub(req.url, "\?.*$", ""));
    return (lookup);
}

sub vcl_backend_fetch {
    if (bereq.url ~ "/event\.json(\?|$)") {
        set bereq.first_byte_timeout = 40s;
    }
}

sub vcl_backend_response {
    # A segment that is still arriving goes on to the player as it comes.
    set beresp.do_stream = true;
    # An old answer is never better than none at the live edge.
    set beresp.grace = 0s;
    set beresp.keep = 0s;
    if (beresp.http.Surrogate-Key) {
        set beresp.http.X-Keys = "|" + regsuball(beresp.http.Surrogate-Key, " ", "|") + "|";
    }
    # Where seconds are too coarse, the origin tells milliseconds.
    if (beresp.http.Headwater-Max-Age-Ms) {
        set beresp.ttl = std.duration(beresp.http.Headwater-Max-Age-Ms + "ms", 0s);
    } elsif (beresp.status == 503 && beresp.http.Headwater-Outcome == "shed") {
        # Varnish keeps no 503 by itself.
        set beresp.ttl = 5s;
    }
    if (beresp.ttl <= 0s || beresp.http.Cache-Control ~ "no-store") {
        # Not kept; and for a moment those who wait for the same do not queue behind each other. The next answer that
        # may be kept is kept all the same.
        set beresp.uncacheable = true;
        set beresp.ttl = 1s;
    }
    return (deliver);
}

sub vcl_backend_error {
    set beresp.http.Retry-After = "1";
    set beresp.http.Cache-Control = "no-store";
    set beresp.ttl = 0s;
    set beresp.uncacheable = true;
    return (deliver);
}

sub vcl_deliver {
    unset resp.http.X-Keys;
    unset resp.http.Surrogate-Key;
    if (obj.hits > 0) {
        set resp.http.X-Cache = "HIT";
    } else {
        set resp.http.X-Cache = "MISS";
    }
}
