# Varnish in front of a Headwater origin: varnishd -f /path/to/varnish.vcl -a :80 -s malloc,8g
# To be changed: the origin's address, who may purge. Start the origin with --surrogate-keys surrogate-key.
# Written for Varnish 7, tested with 7.1.
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
    # One pipeline's own candidate, for debugging: never cached.
    if (req.url ~ "^/[^/]+/[^/]+/@") {
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
    # Where seconds are too coarse, the origin tells milliseconds. Behind another cache some of them have passed; its
    # `Age` is rounded down.
    if (beresp.http.Headwater-Max-Age-Ms) {
        set beresp.ttl = std.duration(beresp.http.Headwater-Max-Age-Ms + "ms", 0s);
        if (beresp.http.Age) {
            set beresp.ttl = beresp.ttl - std.duration(beresp.http.Age + "s", 1d) - 1s;
        }
    } elsif ((beresp.status == 400 || beresp.status == 503) && beresp.http.Cache-Control ~ "max-age=[0-9]+") {
        # By itself Varnish keeps none of these, whatever the origin says.
        set beresp.ttl = std.duration(regsub(beresp.http.Cache-Control, "^.*max-age=([0-9]+).*$", "\1") + "s", 0s);
    }
    # What may not be kept is kept for a millisecond: those who have waited for it share it, and who comes next asks the
    # origin, again one for all. Never `beresp.uncacheable` here: Varnish would remember that there is nothing to wait
    # for, and of a crowd that asks for a late segment each would be held at the origin.
    if (beresp.ttl <= 0s || beresp.http.Cache-Control ~ "no-store") {
        set beresp.ttl = 1ms;
    }
    return (deliver);
}

# The origin cannot be reached. Those who have waited share that too.
sub vcl_backend_error {
    set beresp.http.Retry-After = "1";
    set beresp.http.Cache-Control = "no-store";
    set beresp.ttl = 1ms;
    set beresp.grace = 0s;
    set beresp.keep = 0s;
    return (deliver);
}

sub vcl_deliver {
    unset resp.http.X-Keys;
    unset resp.http.Surrogate-Key;
    # To players and to caches behind this one: what is left of the lifetime, as if the origin had said so just now.
    if (resp.http.Headwater-Max-Age-Ms) {
        set resp.http.Headwater-Max-Age-Ms = std.integer(duration = obj.ttl * 1000.0);
        set resp.http.Cache-Control = "max-age=" + std.integer(duration = obj.ttl);
        set resp.http.X-Accel-Expires = std.integer(duration = obj.ttl - 1s);
        if (obj.ttl < 1s) {
            set resp.http.Cache-Control = "max-age=0";
            set resp.http.X-Accel-Expires = "0";
        }
        if (obj.ttl <= 0s) {
            set resp.http.Headwater-Max-Age-Ms = "0";
        }
        unset resp.http.Age;
    }
    if (obj.hits > 0) {
        set resp.http.X-Cache = "HIT";
    } else {
        set resp.http.X-Cache = "MISS";
    }
}
