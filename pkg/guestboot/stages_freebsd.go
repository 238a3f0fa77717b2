package guestboot

import "github.com/krunbox/krunbox/pkg/boot"

// Stages returns the boot: the stages up, from the console to the end of the workload, and the
// stages down, which come after that and after every failure.
//
// The console becomes the workload's controlling terminal, not that of init: init would have to
// give it up again for the workload's session, and its keys must not interrupt init.
func Stages() (up, down []boot.Stage[*Guest]) {
	type g = *Guest
	up = []boot.Stage[g]{
		{Name: "console", OnError: boot.Warn, Plan: g.planConsole},
		{Name: "signals", OnError: boot.Fatal, Plan: g.planSignals},
		{Name: "session", OnError: boot.Warn, Plan: g.planSession},
		{Name: "parameters", OnError: boot.Warn, Prepare: g.prepareParameters},
		{Name: "loopback", OnError: boot.Warn, Plan: g.planLoopback},
		{Name: "configuration disk", OnError: boot.Fatal,
			If:      boot.If("neither KRUN_CONFIG nor -config is set", g.wantsDisk),
			Prepare: g.prepareDisk, Plan: g.planDisk},
		{Name: "configuration", OnError: boot.Fatal, Prepare: g.prepareConfiguration},
		{Name: "end of the configuration disk", OnError: boot.Warn,
			If: boot.If("it was mounted", g.hasDisk), Plan: g.planUnmountDisk},
		{Name: "unsupported configuration", OnError: boot.Warn, Prepare: g.reportUnsupported},
		{Name: "settings", OnError: boot.Fatal, Prepare: g.prepareSettings},
		{Name: "hostname", OnError: boot.Warn, Plan: g.planHostname},
		{Name: "working directory", OnError: boot.Fatal,
			If: boot.If("KRUN_WORKDIR or the configuration names one", g.hasWorkdir), Plan: g.planWorkdir},
		{Name: "workload", OnError: boot.Fatal, Plan: g.planWorkload},
		{Name: "supervision", OnError: boot.Fatal, If: boot.If("KRUN_INIT_PID1 is not 1", g.isNotPID1),
			Plan: g.planSupervision},
	}
	down = []boot.Stage[g]{
		{Name: "reason", OnError: boot.Silent,
			If: boot.If("the boot failed", g.hasFailed), Plan: g.planReason},
		{Name: "flush", OnError: boot.Warn, Plan: g.planFlush},
		{Name: "end", OnError: boot.Warn, Plan: g.planEnd},
	}
	return up, down
}
