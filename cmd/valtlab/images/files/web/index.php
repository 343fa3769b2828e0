<?php
// The application's page, as far as the practice site has one.
$version = trim(file_get_contents('/srv/valt/version'));
$name = htmlspecialchars(getenv('VALT_NAME') ?: 'VALT');
$banner = htmlspecialchars(trim(@file_get_contents('/srv/valt/banner.txt') ?: ''));
$media = array_filter(explode(',', getenv('VALT_MEDIA_ADDRESSES') ?: ''));
header('Content-Type: text/html; charset=utf-8');
?>
<!DOCTYPE html>
<html lang="en"><head><title>VALT <?= $version ?></title></head>
<body>
<h1>VALT <?= $version ?></h1>
<p><?= $name ?>: the application of the practice site (stand-in).</p>
<?php if ($banner !== ''): ?><p><?= $banner ?></p><?php endif; ?>
<ul>
<?php foreach ($media as $address): ?>
<li>media server <?= htmlspecialchars($address) ?></li>
<?php endforeach; ?>
</ul>
</body></html>
