package soak

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// An Activity is what a workload does; see activities.
type Activity string

// activity describes an Activity.
type activity struct {
	// script is what the workload executes before it ends with Plan.Code. It must not have the
	// shell itself fork, write to streams or wait, except by pause, after it has started something
	// that could make that fail.
	script string

	// kills is whether the kernel may kill the workload's shell because memory runs out, always
	// whether it does so in any case.
	kills, always bool

	// program is executed in place of the script, which must fail with code.
	program string
	code    int

	// krunbox is whether the workload is about krunbox as process 1: it has no PID namespace.
	krunbox bool

	minMiB, maxMiB int // memory of the machine; 0: any

	takes time.Duration // in addition to Plan.Seconds
}

// activities are all workloads. $S is Plan.Seconds.
var activities = map[Activity]activity{
	"exits at once": {},
	"is not there":  {program: "/no/such", code: 127},
	"is no program": {program: "/etc/passwd", code: 126},
	// Without a limit, thousands of processes would keep the shell from ending in time.
	"forks without end": {minMiB: 256, takes: 30 * time.Second, script: `
echo 600 >/proc/sys/kernel/threads-max
bomb() { while :; do bomb & done; }
bomb &
pause $S`},
	"fills memory": {kills: true, maxMiB: 256, script: `
for i in 1 2 3; do tail /dev/zero & done
pause $S`},
	"fills memory itself": {always: true, maxMiB: 256, script: `exec tail /dev/zero`},
	"fills tmpfs": {kills: true, maxMiB: 256, script: `
for d in /dev/shm /run /dev; do dd if=/dev/zero of=$d/filled bs=64k & done
pause $S`},
	"leaves daemons": {script: `
for i in 1 2 3 4 5 6 7 8; do setsid sh -c 'trap "" TERM HUP INT; while :; do sleep 1000; done' & done
pause $S`},
	"writes a lot": {takes: 20 * time.Second, script: `
for d in / /data /tmp; do dd if=/dev/zero of=$d/filled bs=64k count=400 & done
yes >&7 & yes >&6 &
pause $S`},
	"writes many files": {takes: 20 * time.Second, script: `
for d in / /data; do
	(mkdir -p $d/many; i=0; while [ $i -lt 3000 ]; do echo $i >$d/many/$i; i=$((i + 1)); done) &
done
pause $S`},
	"reads nothing": {script: `pause $((S + 1))`},
	"lowers its limits": {script: `
ulimit -n 20; ulimit -u 1; ulimit -s 64; ulimit -f 0; ulimit -c 0
pause $S`},
	"lowers limits of process 1": {krunbox: true, script: `
for limit in '1 0' '3 65536' '4 0' '6 0' '7 0' '8 0' '11 0' '12 0' '13 0'; do guest prlimit 1 $limit; done
pause $S`},
	// Root has a reserve, vm.admin_reserve_kbytes. On the smallest machines the limit is less than what
	// process 1 alone has mapped.
	"forbids overcommitment": {minMiB: 192, script: `
for i in 1 2 3; do (pause 1; exec setuidgid nobody tail /dev/zero) & done
echo 2 >/proc/sys/vm/overcommit_memory
pause $((S + 1))`},
	"unmounts": {script: `
while read x at x; do list="$at $list"; done </proc/mounts
for at in $list; do umount $at & umount -l $at & done
pause $S
umount -l /proc
umount -l /dev
umount -l /
umount -l /sys`},
	"mounts over all": {script: `
for d in /proc /dev /sys /run /tmp /etc /mnt /data; do mount -t tmpfs t $d; mkdir $d/self $d/shm; echo >$d/self/mountinfo; done
mount -t tmpfs t / ; mount --bind /root / ; cd /
pause $S`},
	"mounts often": {kills: true, script: `
(i=0; while [ $i -lt 300 ]; do mount -t tmpfs t /mnt; i=$((i + 1)); done) &
pause $S`},
	"kills all": {script: `
for i in 1 2 3; do sleep 1000 & done
kill -9 -1`},
	"signals process 1": {krunbox: true, script: `
trap '' 1 3 4 5 6 7 8 10 11 12 13 14 16 17 18 20 21 22 23 24 25 26 27 28 29 31
for i in 1 3 4 5 6 7 8 9 10 11 12 13 14 16 17 18 19 20 21 22 23 24 25 26 27 28 29 31; do kill -$i 1; done
pause $S`},
	"reaches threads-max": {takes: 10 * time.Second, script: `
pause 0
(echo 220 >/proc/sys/kernel/threads-max; while :; do sleep 1000 & done) &
pause $((S + 1))`},
	"reaches pid_max": {kills: true, takes: 10 * time.Second, script: `
(echo 310 >/proc/sys/kernel/pid_max; while :; do sleep 1000 & done) &
pause $((S + 1))`},
	"stops itself and others": {script: `
for i in 1 2 3; do sleep 1000 & kill -STOP $!; done
sh -c "sleep $S; kill -CONT $$" &
kill -STOP $$`},
}

// activityNames returns the names of activities, sorted.
func activityNames() []Activity { return slices.Sorted(maps.Keys(activities)) }

// outcomes returns what is accepted without faults.
func (a activity) outcomes(p *Plan) []Outcome {
	killed := Outcome{[]int{128 + 9}, outOfMem, After}
	switch {
	case a.program != "":
		return []Outcome{failedBefore(a.code)}
	case a.always:
		return []Outcome{killed}
	case a.kills:
		return []Outcome{{Codes: []int{p.Code}, When: After}, killed}
	}
	return []Outcome{{Codes: []int{p.Code}, When: After}}
}

// reportPort is the name of the port to which the workload writes its report: a line when it starts,
// and how much anonymous memory process 1 has when it ends.
const reportPort = "com.example.soak"

// The workload's shell has no streams of its own but the report, which it also waits on: nobody writes
// to it. 7 is the standard output, 6 the standard error, 5 what process 1 takes.
const prologue = `exec 7>&1 6>&2 >/dev/null 2>&1
for p in /sys/class/virtio-ports/*; do
	n=; read n <$p/name
	[ "$n" = ` + reportPort + ` ] && exec 8<>/dev/${p##*/}
done
exec 5</proc/1/status
pause() { read -t $1 x <&8; }
S=%d
echo start >&8
%s
`

const epilogue = `
while read k v u; do [ "$k" = RssAnon: ] && echo "memory $v" >&8; done <&5
exit %d
`

// args returns the workload's program and arguments, as the configuration has them.
func (p Plan) args() []string {
	if program := activities[p.Workload].program; program != "" {
		return []string{program}
	}
	return []string{"/bin/sh", "-c", p.script()}
}

// script returns the workload's shell script.
func (p Plan) script() string {
	traps := ""
	if p.Ignores {
		traps = "trap '' TERM INT PWR"
	}
	var b strings.Builder
	fmt.Fprintf(&b, prologue, p.Seconds, traps)
	b.WriteString(activities[p.Workload].script)
	fmt.Fprintf(&b, epilogue, p.Code)
	return b.String()
}
