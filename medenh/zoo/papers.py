"""Papers behind the networks and the ways to train them, as BibTeX."""

from __future__ import annotations

from medenh.zoo.card import ModelCard

__all__ = ["papers_of"]

_DPE = """@article{sharif2022deep,
  author  = {Sharif, S. M. A. and Naqvi, Rizwan Ali and Biswas, Mithun and
             Loh, Woong-Kee},
  title   = {Deep Perceptual Enhancement for Medical Image Analysis},
  journal = {IEEE Journal of Biomedical and Health Informatics},
  volume  = {26}, number = {10}, pages = {4826--4836}, year = {2022},
  doi     = {10.1109/JBHI.2022.3168604}
}"""
_GRADPROM = """@article{zhang2025generalized,
  author  = {Zhang, Dong and Cheng, Kwang-Ting},
  title   = {Generalized Task-Driven Medical Image Quality Enhancement with
             Gradient Promotion},
  journal = {IEEE Transactions on Pattern Analysis and Machine Intelligence},
  year    = {2025},
  doi     = {10.1109/TPAMI.2025.3525671}
}"""
_HQG = """@article{he2024hqgnet,
  author  = {He, Chunming and Li, Kai and Xu, Guoxia and Yan, Jiangpeng and
             Tang, Longxiang and Zhang, Yulun and Wang, Yaowei and Li, Xiu},
  title   = {{HQG-Net}: Unpaired Medical Image Enhancement With High-Quality Guidance},
  journal = {IEEE Transactions on Neural Networks and Learning Systems},
  volume  = {35}, number = {12}, pages = {18404--18418}, year = {2024},
  doi     = {10.1109/TNNLS.2023.3315307}
}"""
_MAGE = """@article{guo2023bridging,
  author  = {Guo, Erjian and Fu, Huazhu and Zhou, Luping and Xu, Dong},
  title   = {Bridging Synthetic and Real Images: a Transferable and Multiple
             Consistency aided Fundus Image Enhancement Framework},
  journal = {IEEE Transactions on Medical Imaging},
  volume  = {42}, number = {8}, pages = {2189--2199}, year = {2023},
  doi     = {10.1109/TMI.2023.3247783}
}"""
_AGNET = """@inproceedings{zhang2019attention,
  author    = {Zhang, Shihao and Fu, Huazhu and Yan, Yuguang and Zhang, Yubing and
               Wu, Qingyao and Yang, Ming and Tan, Mingkui and Xu, Yanwu},
  title     = {Attention Guided Network for Retinal Image Segmentation},
  booktitle = {Medical Image Computing and Computer Assisted Intervention (MICCAI)},
  year      = {2019}
}"""
_NAFNET = """@inproceedings{chen2022simple,
  author    = {Chen, Liangyu and Chu, Xiaojie and Zhang, Xiangyu and Sun, Jian},
  title     = {Simple Baselines for Image Restoration},
  booktitle = {European Conference on Computer Vision (ECCV)},
  year      = {2022}
}"""
_RESNET = """@inproceedings{he2016deep,
  author    = {He, Kaiming and Zhang, Xiangyu and Ren, Shaoqing and Sun, Jian},
  title     = {Deep Residual Learning for Image Recognition},
  booktitle = {IEEE Conference on Computer Vision and Pattern Recognition (CVPR)},
  pages     = {770--778}, year = {2016}
}"""
_SRRESNET = """@inproceedings{ledig2017photo,
  author    = {Ledig, Christian and others},
  title     = {Photo-Realistic Single Image Super-Resolution Using a Generative
               Adversarial Network},
  booktitle = {IEEE Conference on Computer Vision and Pattern Recognition (CVPR)},
  year      = {2017}
}"""
_STILLGAN = """@article{ma2021structure,
  author  = {Ma, Yuhui and others},
  title   = {Structure and Illumination Constrained {GAN} for Medical Image
             Enhancement},
  journal = {IEEE Transactions on Medical Imaging},
  volume  = {40}, number = {12}, pages = {3955--3967}, year = {2021},
  doi     = {10.1109/TMI.2021.3101937}
}"""
_UNET = """@inproceedings{ronneberger2015unet,
  author    = {Ronneberger, Olaf and Fischer, Philipp and Brox, Thomas},
  title     = {{U-Net}: Convolutional Networks for Biomedical Image Segmentation},
  booktitle = {Medical Image Computing and Computer-Assisted Intervention (MICCAI)},
  pages     = {234--241}, year = {2015},
  doi       = {10.1007/978-3-319-24574-4_28}
}"""
_BILATERAL = """@article{gharbi2017deep,
  author  = {Gharbi, Micha{\\"e}l and Chen, Jiawen and Barron, Jonathan T. and
             Hasinoff, Samuel W. and Durand, Fr{\\'e}do},
  title   = {Deep Bilateral Learning for Real-Time Image Enhancement},
  journal = {ACM Transactions on Graphics},
  volume  = {36}, number = {4}, pages = {118:1--118:12}, year = {2017},
  doi     = {10.1145/3072959.3073592}
}"""
_CLAHE = """@incollection{zuiderveld1994contrast,
  author    = {Zuiderveld, Karel},
  title     = {Contrast Limited Adaptive Histogram Equalization},
  booktitle = {Graphics Gems IV},
  publisher = {Academic Press},
  pages     = {474--485}, year = {1994}
}"""
_BEN_GRAHAM = """@techreport{graham2015kaggle,
  author      = {Graham, Ben},
  title       = {Kaggle Diabetic Retinopathy Detection Competition Report},
  institution = {University of Warwick},
  year        = {2015}
}"""
_CLAHE_GREEN = """@inproceedings{setiawan2013color,
  author    = {Setiawan, Agung W. and Mengko, Tati R. and Santoso, Oerip S. and
               Suksmono, Andriyan B.},
  title     = {Color Retinal Image Enhancement Using {CLAHE}},
  booktitle = {International Conference on {ICT} for Smart Society (ICISS)},
  year      = {2013}
}"""
_LCN = """@article{foracchia2005luminosity,
  author  = {Foracchia, Marco and Grisan, Enrico and Ruggeri, Alfredo},
  title   = {Luminosity and Contrast Normalization in Retinal Images},
  journal = {Medical Image Analysis},
  volume  = {9}, number = {3}, pages = {179--190}, year = {2005},
  doi     = {10.1016/j.media.2004.07.001}
}"""
_MSRCP = """@article{petro2014multiscale,
  author  = {Petro, Ana Bel{\\'e}n and Sbert, Catalina and Morel, Jean-Michel},
  title   = {Multiscale Retinex},
  journal = {Image Processing On Line},
  volume  = {4}, pages = {71--88}, year = {2014},
  doi     = {10.5201/ipol.2014.107}
}"""
_RETINEX = """@article{jobson1997multiscale,
  author  = {Jobson, Daniel J. and Rahman, Zia-ur and Woodell, Glenn A.},
  title   = {A Multiscale Retinex for Bridging the Gap Between Color Images and the
             Human Observation of Scenes},
  journal = {IEEE Transactions on Image Processing},
  volume  = {6}, number = {7}, pages = {965--976}, year = {1997},
  doi     = {10.1109/83.597272}
}"""
_SHADES_OF_GRAY = """@inproceedings{finlayson2004shades,
  author    = {Finlayson, Graham D. and Trezzi, Elisabetta},
  title     = {Shades of Gray and Colour Constancy},
  booktitle = {Color and Imaging Conference},
  volume    = {12}, pages = {37--41}, year = {2004}
}"""
_GRAY_WORLD = """@article{buchsbaum1980spatial,
  author  = {Buchsbaum, Gershon},
  title   = {A Spatial Processor Model for Object Colour Perception},
  journal = {Journal of the Franklin Institute},
  volume  = {310}, number = {1}, pages = {1--26}, year = {1980},
  doi     = {10.1016/0016-0032(80)90058-7}
}"""
_LIME = """@article{guo2017lime,
  author  = {Guo, Xiaojie and Li, Yu and Ling, Haibin},
  title   = {{LIME}: Low-Light Image Enhancement via Illumination Map Estimation},
  journal = {IEEE Transactions on Image Processing},
  volume  = {26}, number = {2}, pages = {982--993}, year = {2017},
  doi     = {10.1109/TIP.2016.2639450}
}"""
_DUAL = """@article{zhang2019dual,
  author  = {Zhang, Qing and Nie, Yongwei and Zheng, Wei-Shi},
  title   = {Dual Illumination Estimation for Robust Exposure Correction},
  journal = {Computer Graphics Forum},
  volume  = {38}, number = {7}, pages = {243--252}, year = {2019}
}"""
_FUSION = """@article{mertens2009exposure,
  author  = {Mertens, Tom and Kautz, Jan and Van Reeth, Frank},
  title   = {Exposure Fusion: A Simple and Practical Alternative to High Dynamic
             Range Photography},
  journal = {Computer Graphics Forum},
  volume  = {28}, number = {1}, pages = {161--171}, year = {2009}
}"""
_DCP = """@article{he2011dark,
  author  = {He, Kaiming and Sun, Jian and Tang, Xiaoou},
  title   = {Single Image Haze Removal Using Dark Channel Prior},
  journal = {IEEE Transactions on Pattern Analysis and Machine Intelligence},
  volume  = {33}, number = {12}, pages = {2341--2353}, year = {2011}
}"""
_GUIDED = """@article{he2013guided,
  author  = {He, Kaiming and Sun, Jian and Tang, Xiaoou},
  title   = {Guided Image Filtering},
  journal = {IEEE Transactions on Pattern Analysis and Machine Intelligence},
  volume  = {35}, number = {6}, pages = {1397--1409}, year = {2013}
}"""
_DCP_ILLUM = """@inproceedings{savelli2017illumination,
  author    = {Savelli, Benedetta and others},
  title     = {Illumination Correction by Dehazing for Retinal Vessel Segmentation},
  booktitle = {IEEE International Symposium on Computer-Based Medical Systems (CBMS)},
  year      = {2017}
}"""
_DPFR = """@article{zhang2022double,
  author  = {Zhang, Shuhe and Webers, Carroll A. B. and Berendschot, Tos T. J. M.},
  title   = {A Double-Pass Fundus Reflection Model for Efficient Single Retinal
             Image Enhancement},
  journal = {Signal Processing},
  volume  = {192}, year = {2022}
}"""
_NLM = """@inproceedings{buades2005nonlocal,
  author    = {Buades, Antoni and Coll, Bartomeu and Morel, Jean-Michel},
  title     = {A Non-Local Algorithm for Image Denoising},
  booktitle = {IEEE Conference on Computer Vision and Pattern Recognition (CVPR)},
  volume    = {2}, pages = {60--65}, year = {2005},
  doi       = {10.1109/CVPR.2005.38}
}"""
_BAYES_SHRINK = """@article{chang2000adaptive,
  author  = {Chang, S. Grace and Yu, Bin and Vetterli, Martin},
  title   = {Adaptive Wavelet Thresholding for Image Denoising and Compression},
  journal = {IEEE Transactions on Image Processing},
  volume  = {9}, number = {9}, pages = {1532--1546}, year = {2000},
  doi     = {10.1109/83.862633}
}"""
_CYCLE_SPINNING = """@incollection{coifman1995translation,
  author    = {Coifman, Ronald R. and Donoho, David L.},
  title     = {Translation-Invariant De-Noising},
  booktitle = {Wavelets and Statistics},
  publisher = {Springer},
  pages     = {125--150}, year = {1995},
  doi       = {10.1007/978-1-4612-2544-7_9}
}"""
_BILATERAL_FILTER = """@inproceedings{tomasi1998bilateral,
  author    = {Tomasi, Carlo and Manduchi, Roberto},
  title     = {Bilateral Filtering for Gray and Color Images},
  booktitle = {IEEE International Conference on Computer Vision (ICCV)},
  pages     = {839--846}, year = {1998},
  doi       = {10.1109/ICCV.1998.710815}
}"""
_TOTAL_VARIATION = """@article{rudin1992nonlinear,
  author  = {Rudin, Leonid I. and Osher, Stanley and Fatemi, Emad},
  title   = {Nonlinear Total Variation Based Noise Removal Algorithms},
  journal = {Physica D: Nonlinear Phenomena},
  volume  = {60}, number = {1--4}, pages = {259--268}, year = {1992},
  doi     = {10.1016/0167-2789(92)90242-F}
}"""
_CHAMBOLLE = """@article{chambolle2004algorithm,
  author  = {Chambolle, Antonin},
  title   = {An Algorithm for Total Variation Minimization and Applications},
  journal = {Journal of Mathematical Imaging and Vision},
  volume  = {20}, pages = {89--97}, year = {2004},
  doi     = {10.1023/B:JMIV.0000011325.36760.1e}
}"""
_BM3D = """@article{dabov2007image,
  author  = {Dabov, Kostadin and Foi, Alessandro and Katkovnik, Vladimir and
             Egiazarian, Karen},
  title   = {Image Denoising by Sparse 3-D Transform-Domain Collaborative Filtering},
  journal = {IEEE Transactions on Image Processing},
  volume  = {16}, number = {8}, pages = {2080--2095}, year = {2007},
  doi     = {10.1109/TIP.2007.901238}
}"""
_NLM_RICIAN = """@article{manjon2008mri,
  author  = {Manj{\\'o}n, Jos{\\'e} V. and others},
  title   = {{MRI} Denoising Using Non-Local Means},
  journal = {Medical Image Analysis},
  volume  = {12}, number = {4}, pages = {514--523}, year = {2008}
}"""
_RICIAN = """@article{koay2006analytically,
  author  = {Koay, Cheng Guan and Basser, Peter J.},
  title   = {Analytically Exact Correction Scheme for Signal Extraction from Noisy
             Magnitude {MR} Signals},
  journal = {Journal of Magnetic Resonance},
  volume  = {179}, number = {2}, pages = {317--322}, year = {2006}
}"""
_COLOUR_TRANSFER = """@article{reinhard2001color,
  author  = {Reinhard, Erik and Ashikhmin, Michael and Gooch, Bruce and
             Shirley, Peter},
  title   = {Color Transfer between Images},
  journal = {IEEE Computer Graphics and Applications},
  volume  = {21}, number = {5}, pages = {34--41}, year = {2001},
  doi     = {10.1109/38.946629}
}"""

_OF_METHOD = {
    "ben-graham": (_BEN_GRAHAM,),
    "bilateral": (_BILATERAL_FILTER,),
    "bm3d": (_BM3D,),
    "clahe": (_CLAHE,),
    "clahe-green": (_CLAHE_GREEN, _CLAHE),
    "clahe-hsv": (_CLAHE,),
    "clahe-rgb": (_CLAHE,),
    "clahe-ycc": (_CLAHE,),
    "dcp": (_DCP, _GUIDED),
    "dcp-illum": (_DCP_ILLUM, _GUIDED),
    "dpfr": (_DPFR, _GUIDED),
    "dual": (_DUAL, _FUSION),
    "flat-field-ref-color": (_COLOUR_TRANSFER,),
    "gray-world": (_GRAY_WORLD,),
    "lcn": (_LCN,),
    "lime": (_LIME,),
    "msr": (_RETINEX, _MSRCP),
    "msrcp": (_MSRCP, _RETINEX),
    "msrcr": (_RETINEX, _MSRCP),
    "nlm": (_NLM,),
    "nlm-rician": (_NLM_RICIAN, _RICIAN, _NLM),
    "ref-color": (_COLOUR_TRANSFER,),
    "shades-of-gray": (_SHADES_OF_GRAY,),
    "tv": (_TOTAL_VARIATION, _CHAMBOLLE),
    "tv-flat-field": (_TOTAL_VARIATION, _CHAMBOLLE),
    "tv-stretch": (_TOTAL_VARIATION, _CHAMBOLLE),
    "unsharp-guided": (_GUIDED,),
    "wavelet": (_BAYES_SHRINK, _CYCLE_SPINNING),
}
_OF_ARCHITECTURE = {
    "agnet": (_AGNET,),
    "classifier": (_UNET,),
    "dpe": (_DPE,),
    "dpe-plus": (_DPE,),
    "fieldnet": (_BILATERAL, _UNET),
    "hqg": (_HQG,),
    "hqg-legacy": (_HQG,),
    "mage": (_MAGE,),
    "nafnet": (_NAFNET,),
    "resnet": (_RESNET,),
    "srresnet": (_SRRESNET,),
    "stillgan": (_STILLGAN,),
    "unet": (_UNET,),
}
_PROMOTING = ("hard", "soft", "layer")  # GradProm's rules; sum and project are older


def papers_of(card: ModelCard) -> tuple[str, ...]:
    """Return the papers of a method, or of a network and its training, as BibTeX.

    Examples
    --------
    >>> from medenh.zoo.manifest import resolve
    >>> [paper.partition(",")[0] for paper in papers_of(resolve("dpe-general").card)]
    ['@article{sharif2022deep']
    """
    if card.is_classical:
        return _OF_METHOD.get(card.id, ())
    papers = _OF_ARCHITECTURE.get(card.architecture, ())
    config = None if card.training is None else card.training.config
    promote = config.get("promote") if isinstance(config, dict) else None
    if isinstance(promote, dict) and promote.get("rule") in _PROMOTING:
        papers = (_GRADPROM, *papers)
    return papers
