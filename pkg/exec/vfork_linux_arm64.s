#include "textflag.h"

#define SYS_clone	220
#define FLAGS	0x4111 // CLONE_VM | CLONE_VFORK | SIGCHLD

// func vfork(flags uintptr) int
//
// flags are added to CLONE_VM, CLONE_VFORK and SIGCHLD.
//
// The child runs on the parent's stack. The return address is in R30, of which the child has its own
// copy.
TEXT ·vfork(SB), NOSPLIT|NOFRAME, $0-16
	MOVD	$SYS_clone, R8
	MOVD	flags+0(FP), R0
	ORR	$FLAGS, R0
	MOVD	$0, R1
	MOVD	$0, R2
	MOVD	$0, R3
	MOVD	$0, R4
	SVC
	MOVD	R0, ret+8(FP)
	RET
