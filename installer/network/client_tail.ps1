
$wanted = @($tests | Where-Object { $Administration -or $_.For -eq 'people' })
Write-Host ('VALT site {0}: {1} connections from {2}' -f $site, $wanted.Count, $env:COMPUTERNAME)
Write-Host ''

$failed = @()
foreach ($t in $wanted) {
    $cause = ''
    try {
        $r = Test-NetConnection -ComputerName $t.Address -Port $t.Port -InformationLevel Detailed -WarningAction SilentlyContinue
        if (-not $r.TcpTestSucceeded) {
            $cause = 'no connection: a firewall on the way drops it, or nothing listens there yet'
            if (-not $r.RemoteAddress) { $cause = 'the name does not resolve on this PC' }
        }
    } catch {
        $cause = $_.Exception.Message
    }
    $mark = 'works '
    if ($cause) { $mark = 'FAILED'; $failed += $t }
    Write-Host ('{0}  {1,-24} {2,-22} TCP {3,-5}  {4}' -f $mark, $t.Name, $t.Address, $t.Port, $t.Service)
    if ($cause) {
        Write-Host ('        {0}' -f $cause)
        Write-Host ('        needed for: {0}  [{1}]' -f $t.Purpose, $t.Id)
    }
}

Write-Host ''
if (-not $Administration) {
    $rest = @($tests | Where-Object { $_.For -ne 'people' }).Count
    if ($rest) { Write-Host ('{0} connections for administration were not tried; -Administration tries them.' -f $rest) }
}
if ($failed.Count) {
    Write-Host ('{0} of {1} do not work. Show this to whoever looks after the firewall.' -f $failed.Count, $wanted.Count)
    exit 3
}
Write-Host ('All {0} work.' -f $wanted.Count)
exit 0
