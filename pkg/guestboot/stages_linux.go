package guestboot

import "github.com/krunbox/krunbox/pkg/boot"

// WorkloadStage is the name of the stage that starts the workload.
const WorkloadStage = "workload"

// Stages returns the boot: the stages up, from the first mount to the end of the workload, and the
// stages down, which come after that and after every failure.
func Stages() (up, down []boot.Stage[*Guest]) { return stagesUp(), stagesDown() }

func stagesUp() []boot.Stage[*Guest] {
	type g = *Guest
	pid1, notPID1 := boot.If("KRUN_INIT_PID1 is 1", g.isPID1), boot.If("KRUN_INIT_PID1 is not 1", g.isNotPID1)
	dhcp, clock := boot.If("KRUN_DHCP names interfaces", g.wantsDHCP), boot.If("KRUN_TIMESYNC is not 0", g.wantsClock)
	defaults := boot.If("KRUN_MACHINE_DEFAULTS is not 0", g.wantsDefaults)
	debug := boot.If("KRUN_DEBUG is 1", g.wantsReport)

	return []boot.Stage[g]{
		{Name: "threads", OnError: boot.Silent, If: notPID1, Plan: g.planThreads},
		{Name: "signals", OnError: boot.Fatal, Plan: g.planSignals},
		{Name: "Ctrl-Alt-Del", OnError: boot.Silent, If: notPID1, Plan: g.planCtrlAltDel},
		{Name: "modules", OnError: boot.Warn,
			If:      boot.If("init is not called init.krun", g.mayHaveModules),
			Prepare: g.prepareModules, Plan: g.planModules},
		{Name: "root", OnError: boot.Fatal,
			If:   boot.If("a block root or an overlay is asked for", g.hasOtherRoot),
			Plan: g.planRoot},
		{Name: "pivotable root", OnError: boot.Warn,
			If:   boot.If("init is not called init.krun, and no other root is asked for", g.mayBeInitramfs),
			Plan: g.planPivotable},
		{Name: "devices and processes", OnError: boot.Fatal, Plan: g.planEssential},
		{Name: "console", OnError: boot.Warn, Plan: g.planConsole},
		{Name: "clock", OnError: boot.Warn, If: clock, Prepare: g.prepareClock, Plan: g.planClock},
		{Name: "network", OnError: boot.Warn, If: dhcp, Prepare: g.prepareNetwork, Plan: g.planNetwork},
		{Name: "file systems", OnError: boot.Warn, Plan: g.planFileSystems},
		{Name: "controllers", OnError: boot.Warn, Plan: g.planControllers},
		{Name: "machine defaults", OnError: boot.Silent, If: defaults, Plan: g.planDefaults},
		{Name: "propagation", OnError: boot.Warn, Plan: g.planPropagation},
		{Name: "standard streams", OnError: boot.Warn, Prepare: g.prepareStreams, Plan: g.planStreams},
		{Name: "parameters", OnError: boot.Warn, Prepare: g.prepareParameters},
		{Name: "loopback", OnError: boot.Warn, Plan: g.planLoopback},
		{Name: "TSI interface", OnError: boot.Silent,
			If: boot.If("the kernel command line has tsi_hijack", g.hasTSI), Plan: g.planTSI},
		{Name: "configuration", OnError: boot.Fatal, Prepare: g.prepareConfiguration},
		{Name: "lease request", OnError: boot.Warn, If: dhcp, Plan: g.planRequest},
		{Name: "unsupported configuration", OnError: boot.Warn, Prepare: g.reportUnsupported},
		{Name: "configured mounts", OnError: boot.Fatal, Prepare: g.prepareMounts, Plan: g.planMounts},
		{Name: "growth", OnError: boot.Warn, Plan: g.planGrowth},
		{Name: "initramfs", OnError: boot.Warn, If: boot.If("the root is a block device", g.hasBlockRoot),
			Plan: g.planFree},
		{Name: "lease", OnError: boot.Warn, If: dhcp, Plan: g.planLease},
		{Name: "settings", OnError: boot.Fatal, Prepare: g.prepareSettings},
		{Name: "hostname", OnError: boot.Warn, Plan: g.planHostname},
		{Name: "hosts file", OnError: boot.Silent,
			If: boot.If("the configuration does not mount one", g.keepsHosts), Plan: g.planHosts},
		{Name: "kernel parameters and devices", OnError: boot.Warn, Plan: g.planSystem},
		{Name: "cgroup delegation", OnError: boot.Warn, If: defaults, Plan: g.planDelegation},
		{Name: "terminal", OnError: boot.Warn, Plan: g.planTerminal},
		{Name: "working directory", OnError: boot.Fatal,
			If: boot.If("KRUN_WORKDIR or the configuration names one", g.hasWorkdir), Plan: g.planWorkdir},
		{Name: "time", OnError: boot.Warn, If: clock, Plan: g.planTime},
		{Name: "sidecars", OnError: boot.Warn, If: pid1, Plan: g.planSidecars},
		{Name: "protected paths", OnError: boot.Fatal, Plan: g.planProtection},
		{Name: "boot report", OnError: boot.Silent, If: debug, Plan: g.planReport},
		{Name: "timer slack", OnError: boot.Silent, If: notPID1, Plan: g.planTimerSlack},
		{Name: "stop requests", OnError: boot.Fatal, Prepare: g.stopRequest},
		{Name: WorkloadStage, OnError: boot.Fatal, Plan: g.planWorkload},
		{Name: "complete boot report", OnError: boot.Silent, If: debug, Plan: g.planReport},
		{Name: "supervision", OnError: boot.Fatal, If: notPID1,
			Prepare: g.prepareSupervision, Plan: g.planSupervision},
	}
}

func stagesDown() []boot.Stage[*Guest] {
	type g = *Guest
	killed := boot.If("the exit code is 137", g.wasKilled)
	return []boot.Stage[g]{
		{Name: "kernel log", OnError: boot.Silent, If: killed, Prepare: g.findKill},
		{Name: "own resources", OnError: boot.Silent, Plan: g.planOwn},
		{Name: "deadline", OnError: boot.Warn, Plan: g.planDeadline},
		{Name: "output", OnError: boot.Warn, Plan: g.planOutput},
		{Name: "exit code", OnError: boot.Warn, Plan: g.planExitCode},
		// The reason comes after the exit code, for the stream that it goes to may block.
		{Name: "standard streams of a failed boot", OnError: boot.Silent,
			If: boot.If("the boot failed before it found them", g.lacksStreams), Plan: g.planFailedStreams},
		{Name: "reason", OnError: boot.Silent, If: boot.If("the boot failed", g.hasFailed),
			Plan: g.planReason},
		{Name: "memory", OnError: boot.Silent, If: killed, Plan: g.planMemory},
		{Name: "remaining processes", OnError: boot.Warn, Plan: g.planStop},
		{Name: "own limits", OnError: boot.Silent, Plan: g.planLimits}, // they may have lowered them again
		{Name: "memory of processes", OnError: boot.Silent, Plan: g.planFreeMemory},
		{Name: "remaining output", OnError: boot.Warn, Plan: g.planOutput},
		{Name: "flush", OnError: boot.Warn, Plan: g.planFlush},
		{Name: "unmount", OnError: boot.Warn, Plan: g.planUnmount},
		// The host keeps the last code, and every process can report one.
		{Name: "final exit code", OnError: boot.Warn,
			If:      boot.If("processes were left behind, or data is lost", g.mustReportAgain),
			Prepare: g.prepareFinalCode, Plan: g.planExitCode},
		{Name: "end", OnError: boot.Warn, Plan: g.planEnd},
	}
}
