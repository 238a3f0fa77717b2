#include "textflag.h"

#define SYS_write	64

// handler is called by the kernel, on the signal stack, with the signal in R0 and the address of its rt_sigreturn in R30.
// What it changes in other registers rt_sigreturn undoes.
TEXT handler<>(SB), NOSPLIT|NOFRAME, $0
	SUB	$16, RSP
	MOVB	R0, (RSP)
	MOVW	·writeEnd(SB), R0
	MOVD	RSP, R1
	MOVD	$1, R2
	MOVD	$SYS_write, R8
	SVC
	ADD	$16, RSP
	RET

// faultHandler leaves to Go what the kernel raised (si_code above 0, see sigaction(2)): only what somebody sent is for the
// pipe.
TEXT faultHandler<>(SB), NOSPLIT|NOFRAME, $0
	MOVW	8(R1), R9	// siginfo_t.si_code
	CMPW	$0, R9
	BLE	sent
	MOVD	·runtimeHandler(SB), R9
	JMP	(R9)
sent:
	JMP	handler<>(SB)

// func handlerAddress() uintptr
TEXT ·handlerAddress(SB), NOSPLIT, $0-8
	MOVD	$handler<>(SB), R0
	MOVD	R0, ret+0(FP)
	RET

// func faultHandlerAddress() uintptr
TEXT ·faultHandlerAddress(SB), NOSPLIT, $0-8
	MOVD	$faultHandler<>(SB), R0
	MOVD	R0, ret+0(FP)
	RET

// func restorerAddress() uintptr
TEXT ·restorerAddress(SB), NOSPLIT, $0-8
	MOVD	ZR, ret+0(FP)
	RET
