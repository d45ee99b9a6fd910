#!/usr/bin/env bash
# Starts a throw-away one-node Ceph cluster (monitor, object store, RADOS Gateway) on loopback: a real S3 server.
# Usage: ceph.sh DIR PORT. Uses PORT for S3, PORT+1 for the monitor and PORT+20..PORT+59 for the object store.
# Writes each daemon's pid to DIR-NAME.pid (whoever owns the run ends them), prints nothing when all is well.
set -euo pipefail
dir=$1 port=$2
access=${S3_ACCESS_KEY:?} secret=${S3_SECRET_KEY:?}
export CEPH_CONF=$dir/ceph.conf
url=http://127.0.0.1:$port
ulimit -c 0

fail() {
  echo "$1" >&2
  tail -n 15 "$dir"/log/*.out >&2 || :
  exit 1
}

if ! type radosgw ceph-mon ceph-osd ceph curl >/dev/null 2>&1; then
  if [ "$(id -u)" != 0 ] || ! type apt-get >/dev/null 2>&1; then
    echo 'Ceph is missing. Install it (Debian: apt install radosgw ceph-mon ceph-osd curl) or set TEST_S3_ENDPOINT.' >&2
    exit 1
  fi
  export DEBIAN_FRONTEND=noninteractive
  apt-get -qq -o DPkg::Lock::Timeout=300 update >/dev/null
  apt-get -qq -o DPkg::Lock::Timeout=300 install -y --no-install-recommends radosgw ceph-mon ceph-osd curl >/dev/null 2>&1
fi

mkdir -p "$dir"/{mon,osd,log}
cluster=$(cat /proc/sys/kernel/random/uuid) osd=$(cat /proc/sys/kernel/random/uuid)
# Debian's Ceph 18 looks for them below its working directory.
classes=$(ls -d /usr/lib/*/rados-classes /usr/lib/rados-classes /usr/lib64/rados-classes 2>/dev/null | head -n 1 || :)
# Loopback only, one copy of everything, no authentication inside the cluster, nothing kept after deletion.
cat >"$CEPH_CONF" <<END
[global]
fsid = $cluster
mon_host = v2:127.0.0.1:$((port + 1))
public_addr = 127.0.0.1
cluster_addr = 127.0.0.1
ms_bind_port_min = $((port + 20))
ms_bind_port_max = $((port + 59))
auth_cluster_required = none
auth_service_required = none
auth_client_required = none
ms_mon_client_mode = crc
osd_pool_default_size = 1
osd_pool_default_min_size = 1
mon_allow_pool_size_one = true
osd_pool_default_pg_autoscale_mode = off
osd_pool_default_pg_num = 8
osd_pool_default_pgp_num = 8
osd_crush_chooseleaf_type = 0
osd_crush_initial_weight = 1
mon_max_pg_per_osd = 1000
paxos_propose_interval = 0.05
paxos_min_wait = 0.02
run_dir = $dir
admin_socket = $dir/\$name.asok
pid_file = $dir/\$name.ceph-pid
log_file = $dir/log/\$name.log
mon_cluster_log_file = $dir/log/cluster.log
crash_dir = $dir/log
mon_data = $dir/mon
mon_data_avail_crit = 1
osd_data = $dir/osd
osd_objectstore = bluestore
${classes:+osd_class_dir = $classes}
osd_memory_target = 939524096
bluestore_block_size = 21474836480
rgw_frontends = beast endpoint=127.0.0.1:$port
rgw_thread_pool_size = 64
rgw_rados_pool_pg_num_min = 8
rgw_override_bucket_index_max_shards = 1
rgw_gc_obj_min_wait = 60
rgw_gc_processor_period = 60
END

# Job control gives each daemon a process group of its own and does not make it ignore SIGQUIT, which ends the run.
set -m
daemon() { # name, command…
  local name=$1
  shift
  "$@" >"$dir/log/$name.out" 2>&1 </dev/null &
  echo $! >"$dir-$name.pid"
}
until_true() { # seconds, message, command…
  local deadline=$((SECONDS + $1)) message=$2
  shift 2
  until "$@" >/dev/null 2>&1; do
    [ $SECONDS -lt $deadline ] || fail "$message"
    sleep 0.1
  done
}
osd_is_up() { timeout 20 ceph osd dump | grep -q '^osd.0 up'; }
signed() {
  curl -sf -o /dev/null --max-time 10 --aws-sigv4 aws:amz:us-east-1:s3 --user "$access:$secret" \
    -H x-amz-content-sha256:UNSIGNED-PAYLOAD "$@"
}

monmaptool --create --fsid "$cluster" --addv a "[v2:127.0.0.1:$((port + 1))]" "$dir/monmap" >/dev/null
ceph-mon -i a --mkfs --monmap "$dir/monmap" >"$dir/log/mon-mkfs.out" 2>&1 || fail 'the monitor could not be made'
daemon mon ceph-mon -i a -f
timeout 60 ceph osd new "$osd" 0 >"$dir/log/osd-new.out" 2>&1 || fail 'the monitor did not start'
ceph-osd -i 0 --mkfs --osd-uuid "$osd" >"$dir/log/osd-mkfs.out" 2>&1 || fail 'the object store could not be made'
daemon osd ceph-osd -i 0 -f
until_true 60 'the object store did not come up' osd_is_up
timeout 120 radosgw-admin user create --uid=test --display-name=test --access-key="$access" --secret-key="$secret" \
  >"$dir/log/user.out" 2>&1 || fail 'the S3 user could not be made'
daemon rgw radosgw -n client.rgw -f
until_true 60 'the gateway did not start' curl -s -o /dev/null --max-time 2 "$url/"
# Ready means that an object was really stored.
signed -X PUT "$url/ready" && signed -T "$dir/monmap" "$url/ready/object" && signed -X DELETE "$url/ready/object" ||
  fail 'the first PUT failed'
